"""An attempt goes on from workers to pods that get their workload by their standard input, and from such pods back."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_executor.kube.awaiting_pod import hand_over_state
from hybrid_executor.kube.warm_pod import CLAIMED
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.integration.agent.conftest import World
from tests.integration.agent.warm_world import WarmWorld
from tests.integration.conftest import queue
from tests.waiting import wait_until

FIRST_TOKEN = "a-secret-token"
TOO_LARGE = {"resources": {"requests": {"cpu": "9999"}}}


class Elastic:
    """A scheduler's executor beside agents whose pods get their workload by their standard input."""

    def __init__(self, world: World, make_executor: Callable[..., Any], route: str, *, idle: int = 0) -> None:
        self.world = world
        self.pods = WarmWorld(world, idle=idle)
        self.pods.options = {"pod_token": "stdin", "routes": f"default={route}, *=kubernetes:warm"}
        self.executor = make_executor(
            hybrid_executor__routes=f"default={route}, *=kubernetes:warm",
            hybrid_executor__profiles_file=str(self.pods.profiles),
            hybrid_executor__pod_token="stdin",
        )

    def beat(self, *, seconds: float = 1.0) -> None:
        self.executor.clock.advance(seconds)
        self.executor.heartbeat()

    def until(self, condition: Callable[[], Any], *, what: str) -> Any:
        """Let the scheduler go on until something holds."""
        return wait_until(lambda: (self.beat(), condition())[1], what=what)

    def overflow(self, workload: Any) -> Record:
        """Let a task wait for a worker for too long; return its record when it has gone on to the pods."""
        [attempt] = queue(self.executor, workload)
        self.executor.heartbeat()
        assert self.world.record(attempt).target == "celery"
        assert FIRST_TOKEN in self.world.store.attempts.workload(attempt)[1]
        self.beat(seconds=30)
        self.until(lambda: self.world.record(attempt).pool == "kubernetes", what="the attempt to move")
        return self.world.record(attempt)

    def tokens(self) -> list[str]:
        """Return the tokens that pods have run with."""
        return list(self.pods.ran())


def subject_of(token: str) -> str:
    """Return whose token it is."""
    body = token.split(".")[1]
    return str(json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"])


@pytest.fixture(params=[0, 1], ids=["cold", "warm"])
def elastic(request: pytest.FixtureRequest, world: World, make_executor: Callable[..., Any]) -> Elastic:
    return Elastic(world, make_executor, "celery(wait=20s) > kubernetes:warm", idle=request.param)


def test_an_attempt_that_overflows_gets_a_fresh_token_by_stdin_and_its_message_starts_nothing(
    elastic: Elastic, make_row: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    world, pods = elastic.world, elastic.pods
    pods.write_template(task="sleep 1000")
    pods.start_agent()
    is_warm = request.node.callspec.params["elastic"] == 1
    waiting = pods.wait_for_ready(1) if is_warm else set()
    workload = make_row()
    moved = elastic.overflow(workload)
    claim = world.store.attempts.claim
    assert not claim(moved.id, worker="w", sent_generation=1).is_granted, "its old message"
    elastic.until(lambda: world.record(moved.id).state is State.RUNNING, what="the task to run")
    record = world.record(moved.id)
    assert (record.moves, record.moved_because, record.launches, record.try_number) == (1, "wait", 0, 1)
    assert not claim(moved.id, worker="w", sent_generation=1).is_granted
    pod = world.kube.get_pod("default", record.pod)
    assert hand_over_state(pod) == "claimed" if not is_warm else record.pod in waiting & pods.names(CLAIMED)
    [token] = wait_until(elastic.tokens, what="the task to have its workload")
    assert token != FIRST_TOKEN
    assert subject_of(token) == str(workload.ti.id)
    assert token not in json.dumps(world.pods())
    assert world.store.attempts.workload(moved.id)[1] == ""
    # The repair takes the old message off its list.
    elastic.until(lambda: world.store.client.llen("default") == 0, what="the old message to be gone")


def test_pods_that_find_no_node_give_their_attempt_back_to_workers_without_having_had_a_token(
    world: World, make_executor: Callable[..., Any], make_row: Callable[..., Any]
) -> None:
    elastic = Elastic(world, make_executor, "kubernetes:plain(wait=20s) > celery")
    elastic.pods.start_agent()
    override = {"spec": {"containers": [{"name": "base", **TOO_LARGE}]}}
    workload = make_row(executor_config={"pod_override": override})
    [attempt] = queue(elastic.executor, workload)
    elastic.executor.heartbeat()
    [record] = world.wait_for(State.PENDING, [attempt])
    pod = world.kube.get_pod("default", record.pod)
    assert hand_over_state(pod) == "awaited"
    assert FIRST_TOKEN not in json.dumps(pod)
    elastic.beat(seconds=30)
    elastic.until(lambda: world.record(attempt).pool == "celery", what="the attempt to go on to workers")
    assert world.pods() == []
    moved = world.record(attempt)
    payload = world.store.attempts.workload(attempt)[1]
    assert FIRST_TOKEN not in payload
    assert subject_of(json.loads(payload)["token"]) == str(workload.ti.id)
    assert world.store.attempts.claim(attempt, worker="w", sent_generation=moved.generation).is_granted
    assert elastic.tokens() == []


def test_an_agent_that_dies_after_the_move_leaves_an_attempt_that_gets_its_workload_once(
    elastic: Elastic, make_row: Callable[..., Any]
) -> None:
    go = elastic.world.directory / "go"
    elastic.pods.write_template(before_ready=f"until [ -e {go} ]; do sleep 0.05; done")
    elastic.pods.start_agent("first")
    moved = elastic.overflow(make_row())
    elastic.pods.world.stop_agents()
    go.touch()
    elastic.pods.start_agent("second")
    [ended] = elastic.world.wait_for(State.SUCCEEDED, [moved.id])
    assert [len(pods) for pods in elastic.pods.ran().values()] == [1]
    assert ended.moves == 1
    assert not elastic.world.store.attempts.claim(moved.id, worker="w", sent_generation=1).is_granted
