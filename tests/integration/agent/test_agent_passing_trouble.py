"""Trouble that passes is waited for with pauses, and what stays fails after a stated time with the reason."""

from __future__ import annotations

from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State

from .conftest import World, wait_until

NO_ACCOUNT = 'pods "x" is forbidden: error looking up service account default/etl: serviceaccount "etl" not found'
PULL = 'failed to pull and unpack image "r.io/x:1": failed to resolve reference "r.io/x:1": '
BUSY = PULL + "unexpected status from HEAD request to https://r.io/v2/x/manifests/1: 503 Service Unavailable"
MISSING = PULL + "r.io/x:1: not found"


def pull(world: World, attempt: AttemptId, message: str, *, reason: str = "ErrImagePull") -> None:
    """Let the pod's node say that its image cannot be pulled."""
    record = world.record(attempt)
    waiting = {"name": "base", "state": {"waiting": {"reason": reason, "message": message}}}
    status = {"phase": "Pending", "containerStatuses": [waiting]}
    path = f"/api/v1/namespaces/default/pods/{record.pod}/status"
    world.kube.transport.call(
        "PATCH", path, doing="patch status", body={"status": status}, content_type="application/merge-patch+json"
    )


def elsewhere() -> dict[str, Any]:
    """A pod on a node whose kubelet is the test itself."""
    return {"spec": {"nodeName": "elsewhere", "containers": [{"name": "base", "image": "r.io/x:1"}]}}


def test_a_service_account_that_is_missing_for_a_moment_is_waited_for(world: World) -> None:
    missing = world.sandbox.faults.fail(
        403, verb="create", path="/namespaces/default/pods$", times=3, reason="Forbidden", message=NO_ACCOUNT
    )
    world.start_agent()
    [attempt] = world.submit()
    wait_until(lambda: "service account does not exist" in world.record(attempt).note, what="what it waits for")
    [record] = world.wait_for(State.SUCCEEDED, [attempt])
    assert world.sandbox.faults.hits(missing) == 3
    assert record.launches == 0


def test_a_right_that_stays_missing_fails_after_the_configured_time_and_holds_back_no_other_namespace(
    world: World,
) -> None:
    world.sandbox.faults.fail(
        403,
        verb="create",
        path="/namespaces/other/pods$",
        times=None,
        reason="Forbidden",
        message='pods is forbidden: User "agent" cannot create resource "pods" in API group ""',
    )
    created = world.count("create", path="/namespaces/other/pods$")
    world.start_agent(settings=world.settings(launch_patience="3"))
    refused = world.submit(count=20, namespace="other")
    world.wait_for(State.SUCCEEDED, world.submit(count=5))
    records = world.wait_for(State.FAILED, refused)
    for record in records:
        assert record.category == "rejected"
        assert "the right to create pods" in record.reason
        assert "It was tried again for 3 s" in record.reason
        assert record.ended_at - record.submitted_at >= 3000
    assert created() <= 16 + 5 + 20


def test_a_namespace_that_is_made_a_moment_later_is_waited_for(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(namespace="late")
    wait_until(lambda: "namespace does not exist" in world.record(attempt).note, what="what it waits for")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}}
    world.kube.transport.call("POST", "/api/v1/namespaces", doing="create namespace", body=body)
    world.wait_for(State.SUCCEEDED, [attempt])


def test_a_registry_that_is_busy_is_waited_for_and_its_pod_runs_once_it_is_not(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=elsewhere())
    world.wait_for(State.PENDING, [attempt])
    pull(world, attempt, BUSY)
    wait_until(lambda: "503 Service Unavailable" in world.record(attempt).note, what="what it waits for")
    pull(world, attempt, f'Back-off pulling image "r.io/x:1": ErrImagePull: {BUSY}', reason="ImagePullBackOff")
    pull(world, attempt, BUSY)
    wait_until(lambda: world.record(attempt).note.count("ErrImagePull") == 1, what="the second try")
    record = world.record(attempt)
    assert (record.state, record.launches) == (State.PENDING, 0)
    assert len(world.pods()) == 1


def test_a_registry_that_stays_busy_fails_the_pod_after_the_configured_time_without_another_event(
    world: World,
) -> None:
    world.start_agent(settings=world.settings(launch_patience="2"), kubernetes={"pod_launch_failure_retries": "0"})
    [attempt] = world.submit(pod=elsewhere())
    world.wait_for(State.PENDING, [attempt])
    pull(world, attempt, BUSY)
    [record] = world.wait_for(State.FAILED, [attempt])
    assert "503 Service Unavailable" in record.reason
    assert record.ended_at - record.pending_at >= 2000


def test_an_image_that_does_not_exist_fails_at_once(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=elsewhere())
    world.wait_for(State.PENDING, [attempt])
    pull(world, attempt, MISSING)
    [record] = world.wait_for(State.FAILED, [attempt])
    assert "not found" in record.reason
