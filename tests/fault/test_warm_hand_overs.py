"""Many hand-overs while agents and schedulers are killed, the API server restarts, attachments break, answers get lost.

HYBRID_HAND_OVERS=10000 runs so many to warm pods, and as many to pods of their own (``pod_token = stdin``); without it
the course is left out. HYBRID_HAND_OVERS_SECONDS ends both earlier. The test plays the schedulers' part: it submits,
adopts what a killed one has left, and submits a lost attempt that has not run, as far as the ledger tells, again.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.states import State
from hybrid_executor.store import Record, Submission
from tests.faulty_sandbox import Fault
from tests.integration.agent.conftest import World
from tests.integration.agent.test_agent_process import AgentProcess
from tests.integration.agent.warm_world import WarmWorld
from tests.waiting import wait_until

HAND_OVERS = int(os.environ.get("HYBRID_HAND_OVERS", "0"))
SECONDS = float(os.environ.get("HYBRID_HAND_OVERS_SECONDS", "inf"))
AT_ONCE = 20
IDLE = 24
AGENTS = 2
TOLD_EVERY = 500
SEED = int(os.environ.get("HYBRID_HAND_OVERS_SEED", "1"))

pytestmark = [
    pytest.mark.skipif(not HAND_OVERS, reason="HYBRID_HAND_OVERS is not set"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox's pods need Linux to end with it"),
    pytest.mark.timeout(6 * 3600),
]


class Agents:
    """Agent processes, of which each may be killed at any time."""

    def __init__(self, warm: WarmWorld, folder: Path, *, profile: str) -> None:
        self.killed = 0
        self._folder = folder
        self._count = 0
        world = warm.world
        values = {
            "hybrid_executor__redis_url": world.redis_url,
            "hybrid_executor__routes": f"*=kubernetes:{profile}",
            "hybrid_executor__pod_token": "stdin",  # warm pods are handed over in any case
            "hybrid_executor__profiles_file": str(warm.profiles),
            "hybrid_executor__agent_lease": "2",
            "hybrid_executor__pod_creation_rate": "1000",
            "hybrid_executor__starting_pods": "100",
            "kubernetes_executor__in_cluster": "False",
            "kubernetes_executor__config_file": str(world.kubeconfig),
            "kubernetes_executor__pod_template_file": str(world.template),
        }
        options = {f"AIRFLOW__{option.upper()}": value for option, value in values.items()}
        self._environment = {**os.environ, "AIRFLOW_HOME": str(folder / "home"), **options}
        self._running = [self._start() for _ in range(AGENTS)]

    def _start(self) -> AgentProcess:
        self._count += 1
        name = f"agent-{self._count}"
        return AgentProcess(name, self._environment, self._folder / f"{name}.log")

    def kill_one(self, chance: random.Random) -> None:
        """Kill an agent with SIGKILL, and start another one."""
        victim = self._running.pop(chance.randrange(len(self._running)))
        victim.process.kill()
        victim.process.wait()
        self.killed += 1
        self._running.append(self._start())

    def end(self) -> None:
        for agent in self._running:
            agent.process.kill()
            agent.process.wait()


@pytest.fixture
def warm(redis_url: str, tmp_path: Path) -> Iterator[WarmWorld]:
    world = World(redis_url, tmp_path, node=NodeSettings(pod_capacity=4 * IDLE))
    yield WarmWorld(world, idle=IDLE, most=IDLE)
    world.close()


class Schedulers:
    """The scheduler that answers for the attempts, and those that take over from it."""

    def __init__(self, warm: WarmWorld, *, profile: str) -> None:
        self._attempts = warm.world.store.attempts
        self._profile = profile
        self._number = 1
        self.batch: list[AttemptId] = []

    def submit_all(self, *, killed_after: int | None) -> None:
        """Submit new attempts.

        :param killed_after: the scheduler is killed when it has submitted so many; another one does the rest.
        """
        self.batch = [AttemptId(str(uuid.uuid4())) for _ in range(AT_ONCE)]
        self._submit(dict.fromkeys(self.batch[:killed_after], 0))
        if killed_after is not None:
            self.take_over()

    def take_over(self) -> None:
        """Let another scheduler adopt what the one before has submitted, and submit what nobody knows of."""
        self._number += 1
        records = self._attempts.adopt(self.batch, owner=self._owner)
        self._submit({attempt: 0 for attempt, record in zip(self.batch, records, strict=True) if record is None})

    def submit_again(self, record: Record) -> None:
        """Do what an owner does with a lost attempt whose task has not started."""
        self._submit({record.id: record.generation})

    @property
    def _owner(self) -> OwnerId:
        return OwnerId(str(self._number))

    def _submit(self, generations: dict[AttemptId, int]) -> None:
        self._attempts.submit(
            Submission(
                attempt=attempt,
                owner=self._owner,
                pool="kubernetes",
                fields={"cluster": "default", "profile": self._profile, "queue": "q", "kind": "task"},
                payload=json.dumps({"token": f"token-of-{attempt}"}),
                expected_generation=generation,
                cluster="default",
            )
            for attempt, generation in generations.items()
        )


class Disturbances:
    """One fault after the other, each when a part of the attempts has ended: a slow machine makes the course slow."""

    def __init__(self, warm: WarmWorld, agents: Agents, schedulers: Schedulers) -> None:
        self.done: Counter[str] = Counter()
        self._faults = faults = warm.world.sandbox.faults
        self._chance = random.Random(SEED)
        self._ways: dict[str, Callable[[], object]] = {
            "agent killed": lambda: agents.kill_one(self._chance),
            "scheduler killed": schedulers.take_over,
            "scheduler and its agent killed": lambda: (schedulers.take_over(), agents.kill_one(self._chance)),
            "API server restarted": lambda: faults.restart(0.3),
            "attachments cut": faults.cut_attachments,
            "answers lost": lambda: faults.add(Fault("lose_reply", path="/attach", times=5)),
            "patches lost": lambda: faults.add(Fault("lose_reply", verb="patch", times=5)),
            "attachments refused": lambda: faults.add(Fault("drop", path="/attach", times=5)),
            "server busy": lambda: faults.add(Fault("status", code=503, path="/pods", times=10)),
        }

    def threshold(self) -> int:
        """Return after how many ended attempts of a batch the next fault comes."""
        return self._chance.randrange(AT_ONCE)

    def kills_scheduler_after(self) -> int | None:
        """Return after how many submissions of a batch its scheduler is killed, None for most batches."""
        if self._chance.randrange(10):
            return None
        self.done["scheduler killed while it submits"] += 1
        return self._chance.randrange(AT_ONCE)

    def strike(self) -> None:
        """Bring about a fault."""
        way = self._chance.choice(list(self._ways))
        self._ways[way]()
        self.done[way] += 1

    def settle(self) -> None:
        """End the faults that still last."""
        self._faults.clear()


@pytest.mark.parametrize("profile", ["warm", "plain"])
def test_each_attempt_runs_once_and_each_pod_runs_one(warm: WarmWorld, tmp_path: Path, profile: str) -> None:
    agents = Agents(warm, tmp_path, profile=profile)
    schedulers = Schedulers(warm, profile=profile)
    disturbances = Disturbances(warm, agents, schedulers)
    everyone: list[AttemptId] = []
    began = time.monotonic()
    try:
        while len(everyone) < HAND_OVERS and time.monotonic() - began < SECONDS / 2:
            if profile == "warm":
                wait_until(lambda: len(warm.ready()) >= AT_ONCE, what=lambda: f"ready pods: {warm.ready()}")
            schedulers.submit_all(killed_after=disturbances.kills_scheduler_after())
            everyone += schedulers.batch
            run_batch(warm, schedulers, disturbances)
            if len(everyone) % TOLD_EVERY == 0:
                print(f"{len(everyone)} attempts after {time.monotonic() - began:.0f} s", flush=True)
    finally:
        agents.end()
    warm.check_once(everyone)
    warm_runs = sum(pods[0].startswith("warm-") for pods in warm.ran().values())
    seconds, done = time.monotonic() - began, dict(disturbances.done)
    print(f"{len(everyone)} attempts in {seconds:.0f} s, {warm_runs} in warm pods, {agents.killed} kills, {done}")
    assert warm_runs > len(everyone) / 2 if profile == "warm" else not warm_runs


def run_batch(warm: WarmWorld, schedulers: Schedulers, disturbances: Disturbances) -> None:
    """Wait until all attempts of the batch have ended, with a fault on the way; play their owner."""
    attempts = schedulers.batch
    ended: set[AttemptId] = set()
    threshold = disturbances.threshold()
    was_struck = False

    def all_ended() -> bool:
        nonlocal was_struck
        ran: dict[str, list[str]] | None = None
        for record in warm.world.store.attempts.records([one for one in attempts if one not in ended]):
            assert record is not None
            if record.state is State.LOST and ran is None:
                ran = warm.ran()
            if record.state.is_terminal or (record.state is State.LOST and record.id in (ran or {})):
                ended.add(record.id)
            elif record.state is State.LOST:
                schedulers.submit_again(record)
        if not was_struck and len(ended) >= threshold:
            was_struck = True
            disturbances.strike()
        return len(ended) == len(attempts)

    wait_until(all_ended, every_seconds=0.2, what=lambda: f"{len(ended)} of {attempts}")
    disturbances.settle()
