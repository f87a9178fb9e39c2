"""What fits on a node, and what can be an image or a quantity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hybrid_executor.kube.quantities import quantity
from hybrid_executor.kube.registry import may_pass
from hybrid_executor.sandbox.node import (
    NodeSettings,
    is_image_reference,
    unschedulable_message,
    why_unschedulable,
)


def pod(requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"requests": requests or {}}}], **spec}}


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "apache/airflow:3.3.2",
        "localhost:5000/a/b_c:x",
        "registry.example.com/team/image@sha256:" + "0" * 64,
        "missing.invalid/x:1",
    ],
)
def test_an_images_name_may_hold_registry_path_tag_and_digest(image: str) -> None:
    assert is_image_reference(image)


@pytest.mark.parametrize("image", ["UPPER/Case", "a b", "x:", "x@sha256:12", "-x", "x::1"])
def test_other_texts_are_no_images(image: str) -> None:
    assert not is_image_reference(image)


def test_images_are_missing_by_pattern() -> None:
    node = NodeSettings()
    assert node.pull_error("apache/airflow:3.3.2") == ""
    assert node.pull_error("apache/airflow:does-not-exist").endswith("apache/airflow:does-not-exist: not found")
    assert node.pull_error("missing.invalid/airflow").endswith("missing.invalid/airflow: not found")


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("airflow", "registry-1.docker.io/v2/library/airflow/manifests/latest"),
        ("apache/airflow:3.3.2", "registry-1.docker.io/v2/apache/airflow/manifests/3.3.2"),
        ("localhost:5000/team/x:1", "localhost:5000/v2/team/x/manifests/1"),
        ("r.example.com/x@sha256:" + "0" * 64, "r.example.com/v2/x/manifests/sha256:" + "0" * 64),
    ],
)
def test_a_failing_registry_is_one_that_may_work_later(image: str, asked: str) -> None:
    error = NodeSettings(failing_images=(".",)).pull_error(image)
    assert error.endswith(f"unexpected status from HEAD request to https://{asked}: 503 Service Unavailable")
    assert may_pass(error)
    assert not may_pass(NodeSettings(missing_images=(".",)).pull_error(image))


def test_a_full_node_has_too_many_pods() -> None:
    node = NodeSettings(pod_capacity=1)
    assert why_unschedulable(pod(), node, []) == ""
    assert why_unschedulable(pod(), node, [pod()]) == "Too many pods"


def test_requests_are_summed_over_the_pods_of_the_node() -> None:
    node = NodeSettings(allocatable={"cpu": "2", "nvidia.com/gpu": "1"})
    assert why_unschedulable(pod({"cpu": "1500m"}), node, [pod({"cpu": "500m"})]) == ""
    assert why_unschedulable(pod({"cpu": "1600m"}), node, [pod({"cpu": "500m"})]) == "Insufficient cpu"
    assert why_unschedulable(pod({"nvidia.com/gpu": "2"}), node, []) == "Insufficient nvidia.com/gpu"
    assert why_unschedulable(pod({"example.com/fpga": "1"}), node, []) == "Insufficient example.com/fpga"
    assert why_unschedulable(pod({"ephemeral-storage": "1Ti"}), node, []) == ""


def test_an_init_container_counts_where_it_asks_for_more_than_the_others() -> None:
    node = NodeSettings(allocatable={"cpu": "2"})
    greedy = pod({"cpu": "1"}, initContainers=[{"resources": {"requests": {"cpu": "3"}}}])
    assert why_unschedulable(greedy, node, []) == "Insufficient cpu"


def test_selectors_are_accepted_unless_the_node_has_labels() -> None:
    picky = pod(nodeSelector={"disk": "ssd"})
    assert why_unschedulable(picky, NodeSettings(), []) == ""
    assert why_unschedulable(picky, NodeSettings(labels={"disk": "ssd"}), []) == ""
    why = why_unschedulable(picky, NodeSettings(labels={"disk": "hdd"}), [])
    assert unschedulable_message(why) == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_nothing_fits_on_a_lost_node() -> None:
    assert "unreachable" in why_unschedulable(pod(), NodeSettings(), [], is_lost=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", "1"), ("500m", "0.5"), ("2Gi", str(2 * 2**30)), ("1e3", "1000"), ("1.5k", "1500"), (".5", "0.5")],
)
def test_quantities_are_exact(text: str, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "--1"])
def test_other_texts_are_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity(text)
