"""What a pod asks of its namespace, counted as quotas count it."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.kube.demand import demand_of
from hybrid_executor.kube.quantities import quantity


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> Any:
    return {"name": "base", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def amounts(**spec: Any) -> dict[str, str]:
    found = dict(demand_of({"spec": spec}, namespace="a").amounts)
    assert (found.pop("pods"), found.pop("count/pods")) == (1, 1)
    return {name: str(amount) for name, amount in found.items()}


def test_containers_that_run_side_by_side_add_up() -> None:
    asked = amounts(containers=[container({"cpu": "500m"}), container({"cpu": "2"}, {"memory": "1Ki"})])
    assert asked == {
        "cpu": "2.500",
        "requests.cpu": "2.500",
        "memory": "1024",
        "requests.memory": "1024",
        "limits.memory": "1024",
    }


def test_a_limit_is_the_request_where_there_is_none() -> None:
    asked = amounts(containers=[container(limits={"nvidia.com/gpu": "2"})])
    assert asked == {"requests.nvidia.com/gpu": "2", "limits.nvidia.com/gpu": "2"}


def test_an_init_container_counts_where_it_asks_for_more_and_a_sidecar_always() -> None:
    small, big = container({"cpu": "1"}), container({"cpu": "4"})
    sidecar = container({"cpu": "1"}, restartPolicy="Always")
    assert amounts(containers=[small], initContainers=[big])["cpu"] == "4"
    assert amounts(containers=[big], initContainers=[small])["cpu"] == "4"
    assert amounts(containers=[big], initContainers=[sidecar, small])["cpu"] == "5"
    assert amounts(containers=[small], initContainers=[sidecar, big])["cpu"] == "5"


def test_what_is_set_for_the_whole_pod_wins_and_overhead_comes_on_top() -> None:
    whole = {"requests": {"cpu": "3"}}
    assert amounts(containers=[container({"cpu": "1"})], resources=whole)["cpu"] == "3"
    assert amounts(containers=[container({"cpu": "1"})], overhead={"cpu": "250m"})["cpu"] == "1.250"


def test_what_cannot_be_read_counts_as_not_given() -> None:
    assert amounts(containers=[container({"cpu": "lots"}), {"name": "bare"}]) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"priorityClassName": "high"},
        {"activeDeadlineSeconds": 60},
        {"serviceAccountName": "other"},
        {"containers": [container({"cpu": "1"})]},
    ],
)
def test_pods_that_quotas_tell_apart_have_different_demands(change: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"containers": [container()]}
    one, other = (demand_of({"spec": spec}, namespace="a") for spec in (plain, {**plain, **change}))
    assert one != other
    assert one == demand_of({"spec": {"containers": [container()]}}, namespace="a")
    assert one != demand_of({"spec": plain}, namespace="b")


def test_a_pod_is_refused_with_one_that_asked_for_no_more_of_anything_that_was_too_much() -> None:
    demand = demand_of({"spec": {"containers": [container({"cpu": "2"})]}}, namespace="a")
    assert demand.asks_for_any({"cpu": quantity("2")})
    assert demand.asks_for_any({"cpu": quantity("3"), "pods": quantity("1")})
    assert not demand.asks_for_any({"cpu": quantity("2001m")})
    assert not demand.asks_for_any({"memory": quantity("1")})
