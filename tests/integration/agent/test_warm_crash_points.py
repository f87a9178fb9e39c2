"""An agent dies between two steps of a hand-over: the next agent finishes it, or deletes the pod and starts anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest

from hybrid_executor.agent.launch.entries import Claimed, Launch
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launch.preparation import LaunchPreparer
from hybrid_executor.agent.warm.hand_over import HandOver
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.complaints import Complaints
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, Store
from tests.integration.agent.conftest import World
from tests.integration.agent.warm_world import CLAIMED, WarmWorld
from tests.waiting import wait_until


class Killed(BaseException):
    """What ends a process at once."""


@dataclass
class DyingClient:
    """A cluster's client of an agent that dies right after one call."""

    client: KubeClient
    after: str

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self.client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            answer = method(*arguments, **named)
            if name == self.after:
                raise Killed(name)
            return answer

        return call if callable(method) else method


class DyingAgent:
    """An agent without threads, which takes one entry and dies with it."""

    def __init__(self, warm: WarmWorld, *, after: str) -> None:
        world, settings = warm.world, warm.settings()
        self._after = after
        self._store: Store = world.store
        factory = PodFactory(
            world.kubernetes_settings(),
            instance=settings.instance,
            profiles=settings.profiles,
            airflow_version=version("apache-airflow-core"),
            redis_id=lambda: min(world.store.identity.share(frozenset())),
        )
        self._stream = world.store.launches("default", consumer=f"dies-after-{after}")
        self.preparer = LaunchPreparer(
            agent="dies",
            cluster="default",
            store=world.store,
            present=world.store.events.present,
            factory=factory,
            token_seconds=600,
        )
        self._launches = WarmLaunches(
            cluster="default",
            instance=settings.instance,
            client=DyingClient(world.kube, after),  # type: ignore[arg-type]
            store=world.store,
            factory=factory,
            complaints=Complaints(),
            is_on=True,
        )

    def take(self) -> list[LaunchEntry]:
        return self._stream.take(count=1, wait_milliseconds=10)

    def take_over(self) -> list[LaunchEntry]:
        return self._stream.take_over(idle_milliseconds=500, count=1)

    @property
    def hand_over(self) -> HandOver:
        return self._launches.hand_over

    def work(self, *, takes_over: bool = False) -> AttemptId:
        """Take an entry and die; return its attempt.

        :param takes_over: an agent that is gone had the entry.
        """
        [entry] = wait_until(self.take_over if takes_over else self.take)
        [item] = list(self._launches.choose(self.preparer.read([Launch(entry)])))
        assert isinstance(item, Claimed)
        if self._after != "give":
            with pytest.raises(Killed):
                self._launches.hand_over.run(item)
        return entry.attempt


STEPS = ("give", "patch_pod", "write_line")


def test_what_an_agent_leaves_behind_is_finished_or_deleted_and_runs_once(world: World) -> None:
    warm = WarmWorld(world, idle=len(STEPS))
    first = warm.start_agent("first")
    warm.wait_for_ready(len(STEPS))
    first.stop()
    attempts = {}
    for step in STEPS:
        [attempt] = warm.submit()
        assert DyingAgent(warm, after=step).work() == attempt
        attempts[step] = attempt
    left = {step: world.record(attempt) for step, attempt in attempts.items()}
    assert {record.state for record in left.values()} <= {State.PENDING, State.SUCCEEDED}
    warm.start_agent("second")
    world.wait_for(State.SUCCEEDED, list(attempts.values()))
    warm.check_once(list(attempts.values()))
    wait_until(world.launch_stream_is_empty)
    final = {step: world.record(attempt) for step, attempt in attempts.items()}
    assert final["give"].pod == left["give"].pod, "nobody had claimed the pod, so it is used"
    assert final["write_line"].pod == left["write_line"].pod, "it had accepted the workload"
    assert final["patch_pod"].pod != left["patch_pod"].pod, "nobody could know whether it gets a workload"
    wait_until(lambda: not warm.names(CLAIMED) & {left["patch_pod"].pod})


def test_a_pod_that_ends_while_its_attempt_waits_for_it_is_replaced(world: World) -> None:
    warm = WarmWorld(world, idle=1)
    agent = warm.start_agent("first")
    [pod] = warm.wait_for_ready(1)
    agent.stop()
    [attempt] = warm.submit()
    DyingAgent(warm, after="give").work()
    world.kube.delete_pod("default", pod, grace_period_seconds=0)
    wait_until(lambda: pod not in world.pod_names())
    warm.start_agent("second")
    # It may have been claimed before it was deleted, as far as anybody can tell: only its owner may submit it again.
    world.wait_for(State.LOST, [attempt])
    assert warm.ran() == {}


def test_a_pod_that_was_claimed_before_redis_lost_its_attempt_does_not_keep_it_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent died after the patch, and Redis has lost the record that says which pod it was."""
    warm = WarmWorld(world, idle=1)
    agent = warm.start_agent("first")
    [pod] = warm.wait_for_ready(1)
    agent.stop()
    [attempt] = warm.submit()
    DyingAgent(warm, after="patch_pod").work()
    store = world.store
    store.client.delete(store.keys.attempt(attempt))
    store.client.xtrim(store.keys.launch("default"), maxlen=0)
    warm.start_agent("second")
    wait_until(lambda: "have no record" in caplog.text, what="the agent to find the pod without a record")
    warm.submit(attempt=attempt)
    world.wait_for(State.SUCCEEDED, [attempt])
    warm.check_once([attempt])
    wait_until(lambda: pod not in warm.names(CLAIMED))


def test_a_revoked_attempt_is_not_handed_over(world: World) -> None:
    warm = WarmWorld(world, idle=1)
    agent = warm.start_agent("first")
    warm.wait_for_ready(1)
    agent.stop()
    [attempt] = warm.submit()
    DyingAgent(warm, after="patch_pod").work()
    world.store.attempts.revoke([attempt], reason="by hand")
    warm.start_agent("second")
    wait_until(lambda: not warm.names(CLAIMED))
    wait_until(world.launch_stream_is_empty)
    assert warm.ran() == {}
    assert world.record(attempt).state is State.REVOKED


def test_a_pod_that_redis_gives_away_twice_runs_one_attempt(world: World) -> None:
    """Redis falls back to a state in which a claimed pod still waits: the API server lets one claim succeed."""
    warm = WarmWorld(world, idle=1)
    agent = warm.start_agent("first")
    [pod] = warm.wait_for_ready(1)
    agent.stop()
    key = next(str(key) for key in world.store.client.keys("*warm-ready:*"))
    attempts = []
    for _ in range(2):
        world.store.client.zadd(key, {f"default/{pod}": 1})
        attempts += warm.submit()
        DyingAgent(warm, after="give").work()
    assert {world.record(attempt).pod for attempt in attempts} == {pod}
    warm.start_agent("second")

    def states() -> set[State]:
        return {world.record(attempt).state for attempt in attempts}

    # The one that does not get the pod is launched again. If the pod has ended and is deleted by then, it is not known
    # whether it has started there: its owner, whom there is none of here, asks Airflow.
    decided = ({State.SUCCEEDED}, {State.SUCCEEDED, State.LOST})
    wait_until(lambda: states() in decided, what=lambda: f"both are decided: {states()}")
    warm.check_once([attempt for attempt in attempts if world.record(attempt).state is State.SUCCEEDED])
