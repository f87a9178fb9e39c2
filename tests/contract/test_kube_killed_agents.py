"""Agents are killed while they hand workloads over on a real cluster: each attempt runs once, and each pod runs one.

Only where ``KUBECONFIG`` names a cluster: tests/fault/test_warm_hand_overs.py has a long course on the sandbox.
``HYBRID_TEST_KILLS`` says how many agents are killed (3).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.kube.awaiting_pod import hand_over_state
from hybrid_executor.kube.names import instance_selector
from hybrid_executor.kube.warm_pod import CLAIMED
from hybrid_executor.states import State
from tests.conftest import RedisServer
from tests.integration.agent.test_agent_process import AgentProcess

from .kube_cluster import until
from .kube_ground import Ground, ground

pytestmark = [
    pytest.mark.kube,
    pytest.mark.redis,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.timeout(3600),
]
AT_ONCE = 6
KILLS = int(os.environ.get("HYBRID_TEST_KILLS", "3"))


class Agents:
    """Two agents, each a process of its own."""

    def __init__(self, place: Ground) -> None:
        self._place = place
        self._count = 0
        self._running = [self._start() for _ in range(2)]

    def _start(self) -> AgentProcess:
        self._count += 1
        name = f"agent-{self._count}"
        return AgentProcess(name, self._place.environment(), self._place.folder / f"{name}.log")

    def kill(self, which: int) -> None:
        """Kill one with SIGKILL, and start another one."""
        victim = self._running.pop(which)
        victim.process.kill()
        victim.process.wait()
        self._running.append(self._start())

    def end(self) -> None:
        for agent in self._running:
            agent.process.kill()
            agent.process.wait()


@pytest.mark.parametrize("profile", ["warm", "own"])
def test_each_attempt_runs_once_and_each_pod_runs_one(profile: str, redis_server: RedisServer, tmp_path: Path) -> None:
    chance = random.Random(1)
    options = {"routes": f"*=kubernetes:{profile}", "pod_token": "stdin"}
    with ground("cluster", redis_server.url, tmp_path, idle=AT_ONCE, **options) as place:
        agents = Agents(place)
        everyone: list[AttemptId] = []
        try:
            for _ in range(KILLS):
                attempts = submit_and_kill(place, agents, chance, profile=profile)
                everyone += attempts
                wait_for_all(place, attempts, profile=profile)
        finally:
            agents.end()
        ran = place.ran()
        assert {attempt: len(ran.get(attempt, ())) for attempt in everyone} == dict.fromkeys(everyone, 1)
        pods = [pod for names in ran.values() for pod in names]
        assert len(pods) == len(set(pods))


def count_claimed(place: Ground) -> int:
    """Return to how many pods a workload was handed over, or is just now."""
    selector = instance_selector(place.instance, with_done=True)
    pods = place.cluster.client.list_pods(place.cluster.namespace, selector).items
    return sum(hand_over_state(pod) == CLAIMED for pod in pods)


def submit_and_kill(place: Ground, agents: Agents, chance: random.Random, *, profile: str) -> list[AttemptId]:
    """Submit attempts, and kill an agent when some of them have a pod that is claimed; return them."""
    if profile == "warm":
        place.wait_for_ready(AT_ONCE)
    threshold = count_claimed(place) + chance.randrange(1, AT_ONCE)
    attempts = [place.submit(profile) for _ in range(AT_ONCE)]
    until(lambda: count_claimed(place) >= threshold)
    agents.kill(chance.randrange(2))
    return attempts


def wait_for_all(place: Ground, attempts: list[AttemptId], *, profile: str) -> None:
    """Wait until all have ended; submit those again that are lost and have not run, as their owner does."""

    def has_ended(attempt: AttemptId) -> bool:
        record = place.record(attempt)
        assert record.state is not State.FAILED, record.reason
        if record.state is not State.LOST:
            return record.state.is_terminal
        if attempt in place.ran():
            return True
        place.submit(profile, again=record)
        return False

    until(lambda: all(has_ended(attempt) for attempt in attempts))
