"""Pods that have not started and whose attempts go on to another target, with a real API server."""

from __future__ import annotations

from dataclasses import replace

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World, wait_until

TOO_LARGE = {"spec": {"containers": [{"name": "base", "resources": {"requests": {"cpu": "9999"}}}]}}


def parked(world: World, attempt: AttemptId) -> Record:
    """Wait until nothing can start an attempt any more and its owner may move it."""
    wait_until(lambda: world.record(attempt).generation == 2, what="the attempt to leave")
    record = world.record(attempt)
    assert (record.state, record.leaving, record.launches) == (State.SUBMITTED, "wait", 0)
    wait_until(world.launch_stream_is_empty, what="the launch stream to be empty")
    return record


def test_a_pod_that_finds_no_node_is_deleted_and_its_attempt_may_go_on(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=TOO_LARGE)
    world.wait_for(State.PENDING, [attempt])
    assert world.store.places.leave({attempt: 1}, because="wait") == [True]
    parked(world, attempt)
    assert world.pods() == []
    assert "failed" not in world.states(attempt)


def test_a_pod_is_also_withdrawn_if_no_relaunch_is_allowed(world: World) -> None:
    world.start_agent(kubernetes={"pod_launch_failure_retries": "0"})
    [attempt] = world.submit(pod=TOO_LARGE)
    world.wait_for(State.PENDING, [attempt])
    world.store.places.leave({attempt: 1}, because="wait")
    parked(world, attempt)


def test_a_launch_that_the_cluster_refuses_leaves_without_a_pod(world: World) -> None:
    world.sandbox.faults.fail(
        verb="create",
        resource="pods",
        code=403,
        reason="Forbidden",
        message='pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1',
    )
    world.start_agent()
    [attempt] = world.submit()
    wait_until(lambda: "Waiting for quota" in world.record(attempt).note, what="the launch to wait")
    assert world.store.places.leave({attempt: 1}, because="wait") == [True]
    parked(world, attempt)
    assert world.pods() == []


def test_a_pod_whose_creation_was_not_answered_is_found_first(world: World) -> None:
    world.sandbox.faults.add(Fault("lose_reply", verb="create", resource="pods", times=1))
    world.sandbox.faults.add(Fault("status", verb="create", resource="pods", code=503, skip=1))
    world.start_agent(is_watching=True)
    [attempt] = world.submit(pod=TOO_LARGE)
    wait_until(lambda: world.pods(), what="the pod")
    world.store.places.leave({attempt: 1}, because="wait")
    wait_until(lambda: world.record(attempt).state is State.PENDING, what="the pod to be known")
    assert world.store.places.leave({attempt: 1}, because="wait") == [True]
    parked(world, attempt)
    assert world.pods() == []


def test_a_pod_that_has_started_is_left_alone(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit("sleep 60")
    [record] = world.wait_for(State.RUNNING, [attempt])
    assert world.store.places.leave({attempt: 1}, because="wait") == [False]
    entry = {"op": "withdraw", "attempt": attempt, "generation": "1", "namespace": "default", "pod": record.pod}
    world.store.client.xadd(world.store.keys.launch("default"), entry)
    wait_until(world.launch_stream_is_empty, what="the agent to have looked")
    assert [pod["status"]["phase"] for pod in world.pods()] == ["Running"]
    assert world.record(attempt).state is State.RUNNING


def test_an_old_order_does_not_touch_the_pod_of_a_later_launch(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=TOO_LARGE)
    [record] = world.wait_for(State.PENDING, [attempt])
    entry = {"op": "withdraw", "attempt": attempt, "generation": "0", "namespace": "default", "pod": record.pod}
    world.store.client.xadd(world.store.keys.launch("default"), entry)
    wait_until(world.launch_stream_is_empty, what="the agent to have looked")
    assert len(world.pods()) == 1


def test_the_owner_decides_where_redis_has_lost_which_pod_is_to_leave(world: World) -> None:
    [attempt] = world.submit()
    lost = replace(world.record(attempt), state=State.LAUNCHING)
    world.store.client.flushall()
    world.restore(lost)
    assert world.store.places.leave({attempt: 1}, because="wait") == [True]
    world.store.launches("default", consumer="reaper").put_again(attempt, generation=1)
    world.start_agent()
    [record] = world.wait_for(State.LOST, [attempt])
    assert record.category == "workload_lost"
    assert record.leaving == "wait"


def test_what_is_not_done_because_of_an_error_is_done_when_the_owner_asks_again(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit(pod=TOO_LARGE)
    world.wait_for(State.PENDING, [attempt])
    world.sandbox.faults.add(Fault("status", verb="delete", resource="pods", code=500, times=9))
    world.store.places.leave({attempt: 1}, because="wait")
    wait_until(world.launch_stream_is_empty, what="the agent to have tried")
    assert len(world.pods()) == 1
    world.sandbox.faults.clear()
    world.store.places.leave({attempt: 1}, because="wait")
    parked(world, attempt)
