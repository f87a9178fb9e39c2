"""How many pods should wait, and what follows from what there is."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.agent.duty import is_taken_by_any
from hybrid_executor.agent.warm.inventory import Plan, WaitingPodSeen, make_plan, see, wanted_pods
from hybrid_executor.agent.watch.decision import of_claimed_pod, sight
from hybrid_executor.config.warm import WarmPods
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.members import AgentView
from hybrid_executor.insight.warm import WarmView, view_warm
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis
from hybrid_executor.states import State
from hybrid_executor.store import Member, Record

WARM = WarmPods(idle=2, most=10, idle_seconds=600)


def pod(name: str, **rest: Any) -> WaitingPodSeen:
    values: dict[str, Any] = {
        "path": f"n/{name}",
        "uid": name,
        "version": "1",
        "kind": "k",
        "profile": "p",
        "redis_id": "r",
        "runs": True,
        "has_ended": False,
        "is_terminating": False,
        "created_at": 100.0,
    }
    return WaitingPodSeen(**{**values, **rest})


def plan(*pods: WaitingPodSeen, wanted: int = 2, ready: str = "abc", kind: str = "k", now: float = 200.0) -> Plan:
    return make_plan(pods, kind=kind, wanted=wanted, ready=set(ready), lifetime_seconds=3600, now=now)


def names(pods: tuple[WaitingPodSeen, ...]) -> list[str]:
    return [one.uid for one in pods]


@pytest.mark.parametrize(
    ("demand", "wanted"),
    [
        ({}, 2),
        ({100: 1}, 2),
        ({100: 3, 101: 3, 102: 1, 103: 5}, 9),
        ({100: 50}, 10),
        ({39: 50}, 2),
        ({41: 7}, 7),
    ],
    ids=["nothing", "little", "the most in three buckets", "no more than most", "long ago", "in the last ten minutes"],
)
def test_recent_demand_decides_how_many_pods_wait(demand: dict[int, int], wanted: int) -> None:
    assert wanted_pods(WARM, demand, now_bucket=101, bucket_seconds=10) == wanted


def test_ready_pods_are_offered_and_missing_ones_are_made() -> None:
    found = plan(pod("a"), pod("x"), wanted=4)
    assert (found.create, names(found.offered), names(found.starting), found.deleted) == (2, ["a"], ["x"], ())


def test_of_too_many_pods_those_that_are_not_ready_go_first() -> None:
    found = plan(pod("x"), pod("a"), pod("b"))
    assert (names(found.offered), names(found.deleted), found.create) == (["a", "b"], ["x"], 0)


@pytest.mark.parametrize("stale", [pod("a", kind="old"), pod("a", created_at=-3500.0)], ids=["other kind", "too old"])
def test_stale_pods_are_not_offered_and_are_replaced(stale: WaitingPodSeen) -> None:
    found = plan(stale, pod("b"))
    assert (names(found.offered), names(found.stale), names(found.deleted), found.create) == (["b"], ["a"], ["a"], 1)


def test_without_a_description_all_pods_go_and_none_is_made() -> None:
    found = plan(pod("a"), kind="", wanted=2)
    assert (found.create, found.offered, names(found.deleted)) == (0, (), ["a"])


def test_pods_that_end_before_they_are_ready_are_told_apart() -> None:
    found = plan(pod("a", has_ended=True), pod("x", has_ended=True), pod("y", is_terminating=True))
    assert (names(found.failed), names(found.deleted), found.create) == (["x"], ["a", "x"], 2)


def test_a_raw_pod_is_read_even_with_parts_missing() -> None:
    found = see({"metadata": {"name": "a"}})
    assert (found.path, found.runs, found.created_at, found.kind) == ("default/a", False, 0.0, "")


def raw(warm: str, *, exit_code: int | None = None, **metadata: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    labels = {"hybrid-executor/warm": warm, "hybrid-executor/attempt": "a-1"}
    phase = "Running" if exit_code is None else "Failed"
    status = {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]}
    return {"metadata": {"name": "p", "namespace": "n", "labels": labels, **metadata}, "spec": {}, "status": status}


def test_a_claimed_pod_that_runs_does_not_count_as_started() -> None:
    seen = sight(raw("claimed"))
    assert seen is not None
    assert (seen.diagnosis.phase, seen.diagnosis.category) == ("pending", Category.RUNNING)


def test_a_claimed_pod_that_never_accepted_its_workload_has_certainly_not_started() -> None:
    seen = sight(raw("claimed", exit_code=97))
    assert seen is not None
    assert (seen.diagnosis.category, seen.diagnosis.task_may_have_started) == (Category.NOT_HANDED_OVER, False)
    killed = sight(raw("claimed", exit_code=137))
    assert killed is not None
    assert killed.diagnosis.task_may_have_started


def test_the_end_of_a_task_in_a_warm_pod_is_that_of_any_task() -> None:
    succeeded = Diagnosis("succeeded", Category.COMPLETED, exit_code=0)
    assert of_claimed_pod(succeeded) is succeeded


def test_the_lease_of_claimed_pods_is_offered_to_agents_of_the_same_cluster() -> None:
    other = Member(role="agent", name="b", fields={"clusters": "one"}, silent_seconds=0)
    assert is_taken_by_any("warm:one", [other])
    assert not is_taken_by_any("warm:two", [other])


def test_the_status_joins_what_agents_announce() -> None:
    keeper = {"c": {"p": {"ready": 2, "starting": 1, "stale": 0, "wanted": 3, "cpu": 0.5, "memory": 1024.0, "hits": 3}}}
    other = {"c": {"p": {"hits": 1, "misses": {"none_waiting": 1}}, "q": "unreadable"}}
    agents = [AgentView(name="a", state="running", warm=keeper), AgentView(name="b", state="running", warm=other)]
    running = Record(
        id=AttemptId("x"),
        state=State.RUNNING,
        generation=1,
        cluster="c",
        profile="p",
        holder="pod",
        extra={"warm": "n/pod"},
    )
    cold = Record(id=AttemptId("y"), state=State.RUNNING, generation=1, cluster="c", profile="p", holder="other")
    first, second = view_warm([("c", "p")], agents, [running, cold])
    assert first == WarmView(
        cluster="c",
        profile="p",
        ready=2,
        starting=1,
        wanted=3,
        in_use=1,
        cpu=0.5,
        memory=1024.0,
        hits=4,
        misses={"none_waiting": 1},
        kept_by="a",
    )
    assert first.hit_rate == 0.8
    assert second.hit_rate is None
