"""What a seed chooses: tasks, what people do, and faults. A plan is a value, so that it can be made smaller."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

RunEnd = Literal["success", "failed", "deferred"]
FaultKind = Literal[
    "lost", "unanswered", "late", "refused", "READONLY", "OOM", "LOADING",
    "flush", "fall_back", "kill", "pause", "drain",
    "kube_lost", "kube_unanswered", "kube_late", "kube_401", "kube_403", "kube_409", "kube_410", "kube_429",
    "kube_500", "kube_503",
    "watch_late", "watch_twice", "watch_never", "watch_cut", "watch_expired",
    "quota", "start_error", "pull_fails", "evict", "oom", "delete_pod", "lose_node",
]  # fmt: skip
Pool = Literal["celery", "kubernetes", "overflow", "spot"]
"""The queue of a task. The last two have routes with two targets: from workers to pods, and from pods to workers."""
ActionKind = Literal["clear", "mark_success", "mark_failed"]

_NETWORK: tuple[FaultKind, ...] = ("lost", "unanswered", "unanswered", "late", "refused", "READONLY", "OOM", "LOADING")
_KUBE: tuple[FaultKind, ...] = (
    "kube_lost", "kube_unanswered", "kube_unanswered", "kube_unanswered", "kube_late", "kube_late", "kube_401",
    "kube_403", "kube_409", "kube_410", "kube_429", "kube_500", "kube_503",
)  # fmt: skip
_WATCH: tuple[FaultKind, ...] = ("watch_late", "watch_twice", "watch_never")
_CUTS: tuple[FaultKind, ...] = ("watch_cut", "watch_cut", "watch_expired")
_POD: tuple[FaultKind, ...] = ("start_error", "pull_fails", "evict", "oom", "delete_pod", "lose_node")
_OF_REDIS, _OF_KUBE, _OF_WATCH = frozenset(_NETWORK), frozenset(_KUBE), frozenset(_WATCH)
_OF_POD = frozenset(_POD)

_POOLS: tuple[tuple[Pool, ...], ...] = (("celery",), ("kubernetes",), ("celery", "kubernetes"))


@dataclass(frozen=True)
class TaskPlan:
    """One task instance.

    :ivar runs: how its runs end, in order; a run after the last one ends with success.
    :ivar seconds: how long each run takes.
    """

    name: str
    pool: Pool
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

    :ivar target: the process; "*" for all. A fault of a network meets its next exchange, or, with a length, all of them
        for so long.
    :ivar seconds: how long it lasts. Of "fall_back": how much is lost. Of "kill": after what time another one starts.
        Of "drain": after what time it is to work again.
    """

    at: float
    kind: FaultKind
    target: str = "*"
    seconds: float = 0.0

    @property
    def is_of_redis(self) -> bool:
        """It meets exchanges with Redis."""
        return self.kind in _OF_REDIS

    @property
    def is_of_kube(self) -> bool:
        """It meets requests to the API server."""
        return self.kind in _OF_KUBE

    @property
    def is_of_watch(self) -> bool:
        """It meets events of watches."""
        return self.kind in _OF_WATCH

    @property
    def is_of_pod(self) -> bool:
        """It happens to pods."""
        return self.kind in _OF_POD

    @property
    def ends_at(self) -> float:
        """When it can do nothing any more by itself."""
        return self.at + (0.0 if self.kind == "fall_back" else self.seconds)


@dataclass(frozen=True)
class Plan:
    """One history."""

    seed: int
    schedulers: int
    workers: int
    slots: int
    agents: int = 0
    tasks: tuple[TaskPlan, ...] = ()
    actions: tuple[Action, ...] = ()
    faults: tuple[Fault, ...] = field(default=())

    @property
    def quiet_from(self) -> float:
        """Seconds after which nothing happens any more but what the deployment does."""
        return max([0.0, *(fault.ends_at for fault in self.faults), *(action.at for action in self.actions)])

    def has(self, *kinds: str) -> bool:
        """Return whether there is a fault of one of these kinds."""
        return any(fault.kind in kinds for fault in self.faults)


def make_plan(seed: int) -> Plan:
    """Return what a seed chooses."""
    rng = random.Random(seed)
    pools = rng.choice(_POOLS)
    schedulers, workers = rng.choice((1, 2, 2)), rng.choice((1, 2, 2, 3)) if "celery" in pools else 0
    agents = rng.choice((1, 2, 2)) if "kubernetes" in pools else 0
    tasks = tuple(_make_task(rng, number, pools) for number in range(rng.randint(2, 7)))
    processes = [f"scheduler-{number}" for number in range(schedulers)]
    processes += [f"worker-{number}" for number in range(workers)]
    agent_names = [f"agent-{number}" for number in range(agents)]
    processes += agent_names
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
            faults.append(_fault(rng, 0.5, 40, _NETWORK, target, seconds))
        if agents:
            faults += _faults_of_kubernetes(rng, agent_names)
    if rng.random() < 0.15:
        served = [name for name in processes if not name.startswith("scheduler")]
        faults.append(_fault(rng, 2, 25, ("drain",), rng.choice(served), rng.uniform(5, 20)))
    if flavour in ("processes", "all"):
        for _ in range(rng.randint(1, 3)):
            kind: FaultKind = rng.choice(("kill", "pause"))
            seconds = rng.uniform(1, 20) if kind == "kill" else rng.choice((rng.uniform(1, 10), rng.uniform(20, 40)))
            faults.append(_fault(rng, 2, 30, (kind,), rng.choice(processes), seconds))
        if agents and rng.random() < 0.6:
            faults += [_fault(rng, 2, 35, _POD, "*", 0.0) for _ in range(rng.randint(1, 3))]
    if flavour in ("data", "all"):
        for _ in range(rng.choice((1, 1, 2))):
            faults.append(_fault(rng, 3, 35, ("flush", "fall_back"), "*", rng.uniform(0.1, 2.0)))
    if "celery" in pools and "kubernetes" in pools:
        tasks = tuple(_elastic(seed, task) for task in tasks)
    return Plan(
        seed=seed,
        schedulers=schedulers,
        workers=workers,
        slots=rng.choice((1, 2, 4)),
        agents=agents,
        tasks=tasks,
        actions=actions,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _elastic(seed: int, task: TaskPlan) -> TaskPlan:
    """Give some tasks a route with two targets. The choice of everything else stays as it is."""
    pool: Pool = random.Random(f"{seed} {task.name} {task.map_index}").choice((task.pool, "overflow", "spot"))
    return replace(task, pool=pool)


def _fault(
    rng: random.Random, first: float, last: float, kinds: Sequence[FaultKind], target: str, seconds: float
) -> Fault:
    return Fault(round(rng.uniform(first, last), 3), rng.choice(kinds), target, round(seconds, 3))


def _faults_of_kubernetes(rng: random.Random, agents: Sequence[str]) -> Iterator[Fault]:
    """Yield faults of the way to the API server, of its watches, and of its quotas."""
    for _ in range(rng.randint(0, 6)):
        seconds = rng.choice((0.0, 0.0, 0.0, rng.uniform(0.2, 8)))
        yield _fault(rng, 0.5, 40, _KUBE, rng.choice([*agents, "*"]), seconds)
    for _ in range(rng.choice((0, 0, 1, 3))):
        yield _fault(rng, 0.5, 40, _WATCH, "*", rng.choice((0.0, 0.0, rng.uniform(1, 10))))
    if rng.random() < 0.3:
        yield _fault(rng, 1, 40, _CUTS, "*", 0.0)
    if rng.random() < 0.2:
        yield _fault(rng, 1, 25, ("quota",), "*", rng.uniform(2, 20))


def _make_task(rng: random.Random, number: int, pools: Sequence[Pool]) -> TaskPlan:
    retries = rng.choice((0, 1, 2))
    choices: tuple[tuple[RunEnd, ...], ...] = (
        ("success",), ("success",), ("deferred", "success"), ("deferred", "deferred", "success"),
        ("failed",), ("failed", "success"), ("deferred", "failed", "success"),
    )  # fmt: skip
    is_mapped = rng.random() < 0.4
    return TaskPlan(
        name="mapped" if is_mapped else f"task{number}",
        pool=rng.choice(pools),
        map_index=number if is_mapped else -1,
        begins_at=round(rng.uniform(0, 20), 3),
        runs=rng.choice(choices),
        seconds=round(rng.choice((0.0, rng.uniform(0, 2), rng.uniform(2, 12))), 3),
        retries=retries,
    )
