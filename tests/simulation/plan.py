"""What a seed chooses: tasks, what people do, and faults. A plan is a value, so that it can be made smaller."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

RunEnd = Literal["success", "failed", "deferred"]
FaultKind = Literal[
    "lost", "unanswered", "late", "refused", "READONLY", "OOM", "LOADING",
    "flush", "fall_back", "kill", "pause",
]  # fmt: skip
ActionKind = Literal["clear", "mark_success", "mark_failed"]

QUIET_FROM = 45.0
"""Seconds after which no new fault begins."""


@dataclass(frozen=True)
class TaskPlan:
    """One task instance.

    :ivar runs: how its runs end, in order; a run after the last one ends with success.
    :ivar seconds: how long each run takes.
    """

    name: str
    map_index: int
    begins_at: float
    runs: tuple[RunEnd, ...]
    seconds: float
    retries: int


@dataclass(frozen=True)
class Action:
    """What a person does to a task."""

    at: float
    kind: ActionKind
    task: int


@dataclass(frozen=True)
class Fault:
    """One fault.

    :ivar target: the process; "*" for all. A fault of the network meets its next exchange with Redis, or, with a
        length, all of them for so long.
    :ivar seconds: how long it lasts; of "fall_back": how much is lost; of "kill": after what time another one starts.
    """

    at: float
    kind: FaultKind
    target: str = "*"
    seconds: float = 0.0

    @property
    def is_of_network(self) -> bool:
        """It meets exchanges with Redis."""
        return self.kind in ("lost", "unanswered", "late", "refused", "READONLY", "OOM", "LOADING")


@dataclass(frozen=True)
class Plan:
    """One history."""

    seed: int
    schedulers: int
    workers: int
    slots: int
    tasks: tuple[TaskPlan, ...] = ()
    actions: tuple[Action, ...] = ()
    faults: tuple[Fault, ...] = field(default=())

    def has(self, *kinds: str) -> bool:
        """Return whether there is a fault of one of these kinds."""
        return any(fault.kind in kinds for fault in self.faults)


_NETWORK: tuple[FaultKind, ...] = ("lost", "unanswered", "unanswered", "late", "refused", "READONLY", "OOM", "LOADING")


def make_plan(seed: int) -> Plan:
    """Return what a seed chooses."""
    rng = random.Random(seed)
    schedulers, workers = rng.choice((1, 2, 2)), rng.choice((1, 2, 2, 3))
    tasks = tuple(_make_task(rng, number) for number in range(rng.randint(2, 7)))
    processes = [f"scheduler-{number}" for number in range(schedulers)]
    processes += [f"worker-{number}" for number in range(workers)]
    actions = tuple(
        Action(round(rng.uniform(2, 35), 3), rng.choice(("clear", "clear", "mark_success", "mark_failed")), number)
        for number in range(len(tasks))
        if rng.random() < 0.15
    )
    flavour = rng.choice(("none", "network", "network", "network", "processes", "data", "all", "all"))
    faults: list[Fault] = []
    if flavour in ("network", "all"):
        for _ in range(rng.randint(1, 8)):
            seconds = rng.choice((0.0, 0.0, 0.0, 0.0, rng.uniform(0.2, 8)))
            target = rng.choice([*processes, *processes, "*"])
            faults.append(Fault(round(rng.uniform(0.5, 40), 3), rng.choice(_NETWORK), target, round(seconds, 3)))
    if flavour in ("processes", "all"):
        for _ in range(rng.randint(1, 3)):
            kind: FaultKind = rng.choice(("kill", "pause"))
            seconds = rng.uniform(1, 20) if kind == "kill" else rng.choice((rng.uniform(1, 10), rng.uniform(20, 40)))
            faults.append(Fault(round(rng.uniform(2, 30), 3), kind, rng.choice(processes), round(seconds, 3)))
    if flavour in ("data", "all"):
        for _ in range(rng.choice((1, 1, 2))):
            data: FaultKind = rng.choice(("flush", "fall_back"))
            faults.append(Fault(round(rng.uniform(3, 35), 3), data, "*", round(rng.uniform(0.1, 2.0), 3)))
    return Plan(
        seed=seed,
        schedulers=schedulers,
        workers=workers,
        slots=rng.choice((1, 2, 4)),
        tasks=tasks,
        actions=actions,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _make_task(rng: random.Random, number: int) -> TaskPlan:
    retries = rng.choice((0, 1, 2))
    choices: tuple[tuple[RunEnd, ...], ...] = (
        ("success",), ("success",), ("deferred", "success"), ("deferred", "deferred", "success"),
        ("failed",), ("failed", "success"), ("deferred", "failed", "success"),
    )  # fmt: skip
    is_mapped = rng.random() < 0.4
    return TaskPlan(
        name="mapped" if is_mapped else f"task{number}",
        map_index=number if is_mapped else -1,
        begins_at=round(rng.uniform(0, 20), 3),
        runs=rng.choice(choices),
        seconds=round(rng.choice((0.0, rng.uniform(0, 2), rng.uniform(2, 12))), 3),
        retries=retries,
    )
