"""What is left behind when attempts are retried, cleared, superseded and adopted: nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Submission

from .conftest import World, wait_until

LASTING = ("epoch", "events", "trimmed", "launch:", "version:", "lease:", "rate:", "agents", "workers")
"""Keys that belong to the instance and not to an attempt."""


def keys_left(world: World) -> list[str]:
    """Return the keys of attempts that have no expiry."""
    client: Any = world.store.client
    prefix = world.store.keys.prefix
    names = [name.removeprefix(prefix) for name in client.scan_iter(match=f"{prefix}*") if client.ttl(name) == -1]
    return sorted(name for name in names if not name.startswith(LASTING))


def submit_again(world: World, attempt: AttemptId, *, generation: int, script: str) -> None:
    """Submit an attempt anew, as its owner does with a workload that is fresh."""
    override = {"pod": {"spec": {"containers": [{"name": "base", "command": ["sh", "-c", script]}]}}}
    world.store.attempts.submit(
        [
            Submission(
                attempt=attempt,
                owner=OwnerId("1"),
                pool="kubernetes",
                fields={"dag_id": "dag", "task_id": "task", "queue": "q", "cluster": "default"},
                payload="{}",
                overrides=json.dumps(override),
                cluster="default",
                expected_generation=generation,
            )
        ]
    )


def retry(world: World) -> None:
    """A task fails, and its next try succeeds."""
    world.wait_for(State.FAILED, world.submit("exit 1"))
    world.wait_for(State.SUCCEEDED, world.submit("exit 0", try_number=2))


def clear_while_running(world: World) -> None:
    attempts = world.submit("sleep 30")
    world.wait_for(State.RUNNING, attempts)
    world.store.attempts.revoke(attempts, reason="cleared")


def clear_while_pending(world: World) -> None:
    greedy = {"name": "base", "resources": {"requests": {"cpu": "100000"}}}
    attempts = world.submit(pod={"spec": {"containers": [greedy]}})
    world.wait_for(State.PENDING, attempts)
    world.store.attempts.revoke(attempts, reason="cleared")


def clear_while_launching(world: World) -> None:
    world.sandbox.faults.slow(0.7, verb="create", path="/pods$", times=1)
    attempts = world.submit("sleep 30")
    world.wait_for(State.LAUNCHING, attempts)
    world.store.attempts.revoke(attempts, reason="cleared")
    wait_until(world.launch_stream_is_empty)


def adopt(world: World) -> None:
    """The scheduler of a running task dies, and another one answers for it from then on."""
    attempts = world.submit(world.held)
    world.wait_for(State.RUNNING, attempts)
    world.store.attempts.adopt(attempts, owner=OwnerId("2"))
    world.let_end()
    [record] = world.wait_for(State.SUCCEEDED, attempts)
    assert record.owner == "2"
    world.store.attempts.forget_ended(attempts, owner=OwnerId("2"))


def lose_pod(world: World) -> None:
    """A pod is deleted before its task starts, and the attempt is launched again, and cleared."""
    greedy = {"name": "base", "resources": {"requests": {"cpu": "100000"}}}
    attempts = world.submit(pod={"spec": {"containers": [greedy]}})
    [record] = world.wait_for(State.PENDING, attempts)
    world.kube.delete_pod("default", record.pod, grace_period_seconds=0)
    wait_until(lambda: world.record(record.id).launches == 1 and world.record(record.id).state is State.PENDING)
    world.store.attempts.revoke(attempts, reason="cleared")


@pytest.mark.parametrize(
    "course", [retry, clear_while_running, clear_while_pending, clear_while_launching, adopt, lose_pod]
)
def test_neither_pods_nor_keys_are_left_of(world: World, course: Callable[[World], None]) -> None:
    world.start_agent(kubernetes={"delete_worker_pods_on_failure": "True"})
    course(world)
    wait_until(lambda: not world.pods(), what="no pod left")
    wait_until(world.launch_stream_is_empty, what="no launch left")
    for owner in ("1", "2"):
        world.store.attempts.forget_ended(list(world.store.attempts.owned_by(OwnerId(owner))), owner=OwnerId(owner))
    assert keys_left(world) == []


def test_a_launch_that_is_superseded_while_its_pod_is_created_leaves_only_its_successor(world: World) -> None:
    ran = world.directory / "ran"
    world.sandbox.faults.slow(1.0, verb="create", path="/pods$", times=1)
    world.start_agent()
    [attempt] = world.submit("sleep 30")
    world.wait_for(State.LAUNCHING, [attempt])
    submit_again(world, attempt, generation=1, script=f"echo ran >> {ran}")
    [record] = world.wait_for(State.SUCCEEDED, [attempt])
    assert record.generation == 2
    wait_until(lambda: not world.pods(), what="no pod left")
    wait_until(world.launch_stream_is_empty)
    assert ran.read_text() == "ran\n"


def test_the_pod_of_a_cleared_task_is_given_its_time_to_end(world: World) -> None:
    world.start_agent(kubernetes={"termination_grace_period_seconds": "20"})
    said, ready = world.directory / "said", world.directory / "ready"
    script = f"trap 'echo goodbye > {said}; exit 0' TERM; touch {ready}; while :; do sleep 0.1; done"
    [attempt] = world.submit(script)
    wait_until(ready.exists)
    world.wait_for(State.RUNNING, [attempt])
    world.store.attempts.revoke([attempt], reason="cleared")
    wait_until(lambda: not world.pods(), what="no pod left")
    assert said.read_text() == "goodbye\n"
    assert world.record(attempt).state is State.REVOKED
