"""What a seed chooses: tasks, what people do, and faults. A plan is a value, so that it can be made smaller."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

RunEnd = Literal["success", "failed", "deferred"]
FaultKind = Literal[
    "lost", "unanswered", "late", "slow", "refused",
    "READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "BUSY", "NOAUTH", "NOPERM",
    "flush", "restart", "fall_back", "trim", "other_release", "expire",
    "kill", "stop", "pause", "clock", "drain", "time_out", "lose_process", "redeliver",
    "kube_lost", "kube_unanswered", "kube_late", "kube_401", "kube_403", "kube_404", "kube_409", "kube_410",
    "kube_429", "kube_500", "kube_503", "kube_504",
    "watch_late", "watch_twice", "watch_never", "watch_cut", "watch_expired",
    "attach_cut", "attach_unanswered", "attach_late", "no_attach",
    "quota", "start_error", "pull_fails", "evict", "oom", "delete_pod", "lose_node",
]  # fmt: skip
Pool = Literal["celery", "kubernetes", "overflow", "spot", "quick"]
"""The queue of a task. Two have routes with two targets: from workers to pods, and from pods to workers. The last one
may have warm pods."""
ActionKind = Literal["clear", "mark_success", "mark_failed", "revoke", "take_back", "erase"]

_NETWORK: tuple[FaultKind, ...] = (
    "lost", "unanswered", "unanswered", "unanswered", "late", "late", "refused", "READONLY", "OOM", "MISCONF",
    "NOREPLICAS", "LOADING", "MASTERDOWN", "BUSY", "NOAUTH", "NOPERM",
)  # fmt: skip
_REFUSALS: tuple[FaultKind, ...] = ("lost", "unanswered", "refused", "READONLY", "OOM")
_DATA: tuple[FaultKind, ...] = ("flush", "restart", "fall_back", "fall_back")
_ACTIONS: tuple[ActionKind, ...] = ("clear", "clear", "mark_success", "mark_failed", "revoke", "take_back", "erase")
_KUBE: tuple[FaultKind, ...] = (
    "kube_lost", "kube_unanswered", "kube_unanswered", "kube_unanswered", "kube_late", "kube_late", "kube_401",
    "kube_403", "kube_404", "kube_409", "kube_410", "kube_429", "kube_500", "kube_503", "kube_504",
)  # fmt: skip
_WATCH: tuple[FaultKind, ...] = ("watch_late", "watch_twice", "watch_never")
_CUTS: tuple[FaultKind, ...] = ("watch_cut", "watch_cut", "watch_expired")
_POD: tuple[FaultKind, ...] = ("start_error", "pull_fails", "evict", "oom", "delete_pod", "lose_node")
_ATTACHMENTS: tuple[FaultKind, ...] = ("attach_cut", "attach_unanswered", "attach_late")
_OF_REDIS, _OF_KUBE, _OF_WATCH = frozenset((*_NETWORK, "slow")), frozenset(_KUBE), frozenset(_WATCH)
_OF_POD, _OF_ATTACHMENT = frozenset(_POD), frozenset(_ATTACHMENTS)

_SCRIPTS = {
    "scheduler": ("Submit", "Submit", "Adopt", "Restore", "Advance", "Leave", "Renew"),
    "worker": ("Claim", "Claim", "Advance", "Restore", "Annotate"),
    "agent": ("Advance", "Advance", "GiveWarm", "OfferWarm", "Due", "Lease", "Starts", "Annotate"),
}
"""What each kind of process runs, and does not run all the time: most exchanges only ask for news."""

_SLOW_SCRIPTS = {
    "scheduler": ("Submit", "Submit", "Submit", "Adopt", "Restore", "Advance", "Advance", "Leave", "Renew"),
    "worker": ("Claim", "Claim", "Claim", "Advance", "Restore", "Withdraw"),
    "agent": ("Advance", "Advance", "Version", "Annotate"),
}
_SLOW_OF_HAND_OVERS = ("Due", "Due", "Want")
_SLOW_OF_WARM_PODS = ("GiveWarm", "GiveWarm", "GiveWarm", "OfferWarm")
"""What each of them decides by what it has read before, which may have changed when a slow command arrives."""

_SHARES = ("", "", "", "celery=3, quick=0.1, *=1", "overflow=20, kubernetes=2, *=1")
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
        Of "stop": the same. Of "drain": after what time it is to work again. Of "clock": how much its clock is ahead.
    :ivar script: one that meets a single exchange with Redis meets the next one that runs this script, "" for any.
    :ivar action: of "slow": what a person does meanwhile to the task of the attempt in that exchange, "" for nothing.
    """

    at: float
    kind: FaultKind
    target: str = "*"
    seconds: float = 0.0
    script: str = ""
    action: ActionKind | Literal[""] = ""

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
    def is_of_attachment(self) -> bool:
        """It meets attachments to pods."""
        return self.kind in _OF_ATTACHMENT

    @property
    def ends_at(self) -> float:
        """When it can do nothing any more by itself."""
        return self.at + (0.0 if self.kind in ("fall_back", "clock") else self.seconds)


@dataclass(frozen=True)
class Plan:
    """One history.

    :ivar parallelism: most tasks that one scheduler has at the same time, in each pool.
    :ivar shares: of the queues, as the option ``fair_share`` has them.
    :ivar starting_pods: most pods that start at the same time; 0 for the limit that adapts.
    :ivar pods_per_second: how many pods may be created.
    :ivar pod_token: how pods get their workload, as the option of that name.
    :ivar warm: how many pods wait for a task of the queue "quick"; 0 for none.
    :ivar warm_seconds: how long one of them waits before it is replaced.
    """

    seed: int
    schedulers: int
    workers: int
    slots: int
    agents: int = 0
    parallelism: int = 16
    shares: str = ""
    starting_pods: int = 0
    pods_per_second: float = 10.0
    pod_token: Literal["args", "stdin"] = "args"
    warm: int = 0
    warm_seconds: float = 600.0
    tasks: tuple[TaskPlan, ...] = ()
    actions: tuple[Action, ...] = ()
    faults: tuple[Fault, ...] = field(default=())

    @property
    def quiet_from(self) -> float:
        """Seconds after which nothing happens any more but what the deployment does."""
        return max([0.0, *(fault.ends_at for fault in self.faults), *(action.at for action in self.actions)])

    def has(self, *kinds: str) -> bool:
        """Return whether there is a fault, or an action, of one of these kinds."""
        happens = {one.kind for one in (*self.faults, *self.actions)} | {fault.action for fault in self.faults}
        return not happens.isdisjoint(kinds)

    @property
    def has_actions(self) -> bool:
        """Return whether a person does anything."""
        return bool(self.actions) or any(fault.action for fault in self.faults)


def make_plan(seed: int) -> Plan:
    """Return what a seed chooses."""
    rng = random.Random(seed)
    pools = rng.choice(_POOLS)
    schedulers, workers = rng.choice((1, 2, 2)), rng.choice((1, 2, 2, 3)) if "celery" in pools else 0
    agents = rng.choice((1, 2, 2)) if "kubernetes" in pools else 0
    tasks = tuple(_make_task(rng, number, pools) for number in range(rng.choice((1, 2, 2, 3, 3, 4, 6))))
    processes = [f"scheduler-{number}" for number in range(schedulers)]
    processes += [f"worker-{number}" for number in range(workers)]
    agent_names = [f"agent-{number}" for number in range(agents)]
    processes += agent_names
    actions = tuple(
        Action(round(rng.uniform(0.5, 14), 3), rng.choice(_ACTIONS), number)
        for number in range(len(tasks))
        if rng.random() < 0.15
    )
    flavour = rng.choice(("none", "network", "network", "network", "processes", "data", "all", "all"))
    faults: list[Fault] = []
    if flavour in ("network", "all"):
        for _ in range(rng.randint(1, 8)):
            seconds = rng.choice((0.0, 0.0, 0.0, 0.0, rng.uniform(0.2, 8)))
            target = rng.choice([*processes, *processes, "*"])
            faults.append(_fault(rng, 0.2, 14, _NETWORK, target, seconds))
        if agents:
            faults += _faults_of_kubernetes(rng, agent_names)
    if rng.random() < 0.15:
        served = [name for name in processes if not name.startswith("scheduler")]
        faults.append(_fault(rng, 0.5, 10, ("drain",), rng.choice(served), rng.uniform(4, 12)))
    if rng.random() < 0.15:
        faults += [Fault(0.0, "clock", name, round(rng.uniform(-90, 90), 3)) for name in processes]
    if rng.random() < 0.1:
        faults.append(_fault(rng, 1, 14, ("trim", "other_release"), "*", 0.0))
    if rng.random() < 0.08:  # cut off from Redis for longer than a lease or an announcement
        faults.append(_fault(rng, 1, 10, ("refused",), rng.choice(processes), rng.uniform(17, 40)))
    if workers and rng.random() < 0.15:
        worker = f"worker-{rng.randrange(workers)}"
        faults.append(_fault(rng, 1, 14, ("time_out", "lose_process", "redeliver", "redeliver"), worker, 0.0))
    if flavour in ("processes", "all"):
        for _ in range(rng.randint(1, 3)):
            kind: FaultKind = rng.choice(("kill", "kill", "stop", "pause", "pause"))
            seconds = rng.choice((rng.uniform(1, 8), rng.uniform(17, 30))) if kind == "pause" else rng.uniform(1, 12)
            fault = _fault(rng, 0.5, 13, (kind,), rng.choice(processes), seconds)
            if kind == "stop" and fault.target.startswith("worker") and rng.random() < 0.5:
                # Its last words come late, when the next one has begun.
                fault = replace(fault, seconds=1.0)
                faults.append(Fault(fault.at, "late", fault.target))
            faults.append(fault)
        if agents and rng.random() < 0.6:
            faults += [_fault(rng, 1, 14, _POD, "*", 0.0) for _ in range(rng.randint(1, 3))]
    if flavour in ("data", "all"):
        for _ in range(rng.choice((1, 1, 2))):
            faults.append(_fault(rng, 1, 14, _DATA, "*", rng.uniform(0.1, 2.0)))
    if "celery" in pools and "kubernetes" in pools:
        tasks = tuple(_elastic(seed, task) for task in tasks)
    plan = Plan(
        seed=seed,
        schedulers=schedulers,
        workers=workers,
        slots=rng.choice((1, 2, 4)),
        agents=agents,
        parallelism=rng.choice((16, 16, 16, 2, 1)),
        shares=random.Random(f"shares {seed}").choice(_SHARES),
        tasks=tasks,
        actions=actions,
        faults=_in_order(faults),
    )
    plan = _with_long_task(plan, random.Random(f"long {seed}"))
    plan = _with_aimed_faults(plan, random.Random(f"scripts {seed}"))
    plan = _with_untold_ends(plan, random.Random(f"untold {seed}"))
    plan = _with_pods(plan, random.Random(f"pods {seed}"), agent_names) if agents else plan
    return _with_slow_commands(plan, random.Random(f"slow {seed}"), processes)


def _in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _with_long_task(plan: Plan, rng: random.Random) -> Plan:
    """Let a task run so long that one can see whether others take it for lost.

    A scheduler that was paused is to let it go. A worker that is cut off, or a Redis that is silent, has not lost it.
    """
    pauses = [f for f in plan.faults if f.kind == "pause" and f.target.startswith("scheduler") and f.seconds > 16]
    if plan.workers and any(
        f.kind == "refused" and f.target.startswith("worker") and f.seconds > 16 for f in plan.faults
    ):
        first = replace(plan.tasks[0], pool="celery", begins_at=0.0, runs=("success",), seconds=50.0)
        return replace(plan, tasks=(first, *plan.tasks[1:])) if rng.random() < 0.7 else plan
    if plan.schedulers < 2 or not pauses or rng.random() < 0.6:
        return plan
    first = replace(plan.tasks[0], begins_at=0.0, runs=("success",), seconds=95.0, retries=0)
    return replace(plan, tasks=(first, *plan.tasks[1:]))


def _with_aimed_faults(plan: Plan, rng: random.Random) -> Plan:
    """Let some faults meet what is rare: a submission, a claim, an end."""
    faults = []
    for fault in plan.faults:
        scripts = _SCRIPTS.get(fault.target.partition("-")[0])
        is_single = fault.is_of_redis and not fault.seconds
        faults.append(
            replace(fault, script=rng.choice(scripts)) if is_single and scripts and rng.random() < 0.5 else fault
        )
    return replace(plan, faults=tuple(faults))


def _with_untold_ends(plan: Plan, rng: random.Random) -> Plan:
    """Let Redis refuse what is to be told of a process that has died, and of what Airflow takes back."""
    faults = list(plan.faults)
    for fault in plan.faults:
        if fault.kind in ("time_out", "lose_process") and rng.random() < 0.5:
            faults.append(Fault(fault.at, rng.choice(_REFUSALS), fault.target, script="Advance"))
    for action in plan.actions:
        if action.kind == "take_back" and faults and rng.random() < 0.5:
            for number in range(plan.schedulers):
                refusals = rng.choices(_REFUSALS, k=rng.choice((1, 2)))
                faults += [Fault(action.at, kind, f"scheduler-{number}", script="Advance") for kind in refusals]
    return replace(plan, faults=_in_order(faults))


def _with_slow_commands(plan: Plan, rng: random.Random, processes: Sequence[str]) -> Plan:
    """Let some commands come to Redis so late that what they were decided by has changed, and be answered."""
    if rng.random() < 0.6:
        return plan
    of_agents = _SLOW_SCRIPTS["agent"]
    of_agents += _SLOW_OF_HAND_OVERS if plan.warm or plan.pod_token == "stdin" else ()
    of_agents += _SLOW_OF_WARM_PODS if plan.warm else ()
    faults = list(plan.faults)
    for _ in range(rng.randint(1, 6)):
        process = rng.choice(processes)
        slow = _fault(rng, 0, 9, ("slow",), process, 0.0)
        script = rng.choice(of_agents if process.startswith("agent") else _SLOW_SCRIPTS[process.partition("-")[0]])
        faults.append(replace(slow, script=script, action=rng.choice(("", *_ACTIONS))))
    return replace(plan, faults=_in_order(faults))


def _with_pods(plan: Plan, rng: random.Random, agents: Sequence[str]) -> Plan:
    """Choose how pods get their workload, and how many may start. The choice of everything else stays as it is."""
    way = rng.choice(("args", "args", "stdin", "warm", "both"))
    starting_pods, pods_per_second = rng.choice((0, 0, 0, 1, 2)), rng.choice((10.0, 10.0, 10.0, 1.0))
    plan = replace(plan, starting_pods=starting_pods, pods_per_second=pods_per_second)
    if way == "args":
        return plan
    faults = list(plan.faults)
    if faults:
        for _ in range(rng.choice((0, 1, 2, 4))):
            faults.append(_fault(rng, 0.5, 14, _ATTACHMENTS, rng.choice([*agents, "*"]), 0.0))
        if rng.random() < 0.15:
            faults.append(_fault(rng, 0.5, 12, ("expire",), "*", 0.0))
        if rng.random() < 0.1:
            faults.append(_fault(rng, 0.5, 10, ("no_attach",), "*", rng.uniform(1, 10)))
    plan = replace(
        plan,
        pod_token="stdin" if way != "warm" else "args",
        faults=_in_order(faults),
    )
    if way == "stdin":
        return plan
    return replace(
        plan,
        warm=rng.choice((1, 1, 2, 3)),
        warm_seconds=rng.choice((600.0, 600.0, 9.0)),
        tasks=tuple(
            replace(task, pool="quick") if task.pool == "kubernetes" and rng.random() < 0.8 else task
            for task in plan.tasks
        ),
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
        yield _fault(rng, 0.2, 14, _KUBE, rng.choice([*agents, "*"]), seconds)
    for _ in range(rng.choice((0, 0, 1, 3))):
        yield _fault(rng, 0.2, 14, _WATCH, "*", rng.choice((0.0, 0.0, rng.uniform(1, 10))))
    if rng.random() < 0.3:
        yield _fault(rng, 0.5, 14, _CUTS, "*", 0.0)
    if rng.random() < 0.2:
        yield _fault(rng, 0.5, 12, ("quota",), "*", rng.uniform(2, 12))


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
        begins_at=round(rng.uniform(0, 7), 3),
        runs=rng.choice(choices),
        seconds=round(rng.choice((0.0, rng.uniform(0, 2), rng.uniform(2, 7))), 3),
        retries=retries,
    )
