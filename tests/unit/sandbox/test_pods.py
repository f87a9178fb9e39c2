"""Pods under the API's rules: defaults, deletion by steps, updates."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.objects import PODS
from hybrid_executor.sandbox.pods import Deletion, Pods
from hybrid_executor.sandbox.status import StatusError


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def pods(cluster: Cluster) -> Pods:
    return Pods(cluster)


def create(pods: Pods, name: str = "one", *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    spec.setdefault("containers", [{"name": "base", "image": "x:1"}])
    return pods.create("default", {"metadata": {"name": name, **(metadata or {})}, "spec": spec})[0]


def test_a_generated_name_starts_with_its_prefix_and_differs_each_time(pods: Pods) -> None:
    body = {"metadata": {"generateName": "x" * 80}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    names = {pods.create("default", body)[0]["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("x" * 58) and len(name) == 63 for name in names)


@pytest.mark.parametrize(
    ("image", "policy"),
    [("x", "Always"), ("x:latest", "Always"), ("x:1", "IfNotPresent"), ("host:5000/x", "Always")],
)
def test_the_pull_policy_follows_from_the_tag(pods: Pods, image: str, policy: str) -> None:
    pod = create(pods, containers=[{"name": "base", "image": image}])
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_limits_are_requests_where_none_are_made(pods: Pods) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    pod = create(pods, containers=[{"name": "base", "image": "x", "resources": resources}])
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert pod["status"]["qosClass"] == "Burstable"


def test_equal_limits_and_requests_are_guaranteed(pods: Pods) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}}
    pod = create(pods, containers=[{"name": "base", "image": "x", "resources": resources}])
    assert pod["status"]["qosClass"] == "Guaranteed"


def test_deleting_a_pod_on_a_node_only_marks_it(pods: Pods, cluster: Cluster) -> None:
    create(pods, nodeName="n", terminationGracePeriodSeconds=7)
    marked = pods.delete("default", "one", Deletion())
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    assert cluster.find(PODS, "default", "one") is marked


def test_asking_again_can_shorten_the_grace_and_not_prolong_it(pods: Pods) -> None:
    create(pods, nodeName="n")
    pods.delete("default", "one", Deletion(grace_seconds=20))
    longer = pods.delete("default", "one", Deletion(grace_seconds=60))
    shorter = pods.delete("default", "one", Deletion(grace_seconds=5))
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 20
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5


def test_a_pod_that_has_ended_is_removed_at_once(pods: Pods, cluster: Cluster) -> None:
    pod = create(pods, nodeName="n")
    pods.set_status("default", "one", {**pod["status"], "phase": "Succeeded"})
    pods.delete("default", "one", Deletion())
    assert cluster.find(PODS, "default", "one") is None


def test_a_finalizer_holds_a_deleted_pod_until_it_is_taken_off(pods: Pods, cluster: Cluster) -> None:
    create(pods, metadata={"finalizers": ["example.com/hold"]})
    held = pods.delete("default", "one", Deletion(grace_seconds=0))
    assert cluster.find(PODS, "default", "one") is held
    pods.update(held, {**held, "metadata": {**held["metadata"], "finalizers": []}})
    assert cluster.find(PODS, "default", "one") is None


def test_a_precondition_on_the_version_protects_a_changed_pod(pods: Pods) -> None:
    create(pods)
    with pytest.raises(StatusError, match="the ResourceVersion in the precondition"):
        pods.delete("default", "one", Deletion(version="1"))


def test_an_update_changes_no_status_and_a_status_update_nothing_else(pods: Pods) -> None:
    pod = create(pods)
    updated = pods.update(pod, {**pod, "status": {"phase": "Failed"}})
    assert updated["status"]["phase"] == "Pending"
    changed = {**pod, "metadata": {**pod["metadata"], "labels": {"a": "b"}}, "status": {"phase": "Running"}}
    written = pods.update_status(pod, changed)
    assert written["status"]["phase"] == "Running"
    assert "labels" not in written["metadata"]


def test_an_image_may_change_and_counts_as_a_new_generation(pods: Pods) -> None:
    pod = create(pods)
    container = {**pod["spec"]["containers"][0], "image": "y:2"}
    updated = pods.update(pod, {**pod, "spec": {**pod["spec"], "containers": [container]}})
    assert updated["metadata"]["generation"] == 2


@pytest.mark.parametrize("change", [{"restartPolicy": "Never"}, {"tolerations": []}, {"nodeSelector": {"a": "b"}}])
def test_most_of_a_spec_may_not_change(pods: Pods, change: dict[str, Any]) -> None:
    pod = create(pods, tolerations=[{"key": "mine", "operator": "Exists"}])
    with pytest.raises(StatusError, match="pod updates may not change fields other than"):
        pods.update(pod, {**pod, "spec": {**pod["spec"], **change}})
