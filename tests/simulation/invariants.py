"""What must hold: at each step, and at the end once nothing happens any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_executor.agent.identity import identify
from hybrid_executor.kube.names import done_patch
from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import Keys
from hybrid_executor.targets import place_name

if TYPE_CHECKING:
    from tests.simulation.airflow_model import Airflow, Row
    from tests.simulation.history import History
    from tests.simulation.plan import Plan
    from tests.simulation.redis_server import RedisServer
    from tests.simulation.scheduler import Scheduler
    from tests.simulation.world import Process, World

_TERMINAL = frozenset(state.value for state in TERMINAL_STATES)
_LOST_SECONDS = 30.0
_DELETED_SECONDS = 1.5
_LONGEST_WAIT_SECONDS = 20.0
_MOST_TRIPS = 30
"""Round trips to Redis of one heartbeat, with all timed repairs in it and each script sent for the first time."""

INSTANCE = "sim"
"""The name of the simulated deployment."""

QUEUES = ("celery", "overflow", "spot")
"""The queues of the workers."""

MOST = {"overflow>celery": 1, "spot>celery": 2}
"""How many attempts may be on a target of a route."""


@dataclass(eq=False)
class Run:
    """One time that a worker or a pod ran an attempt.

    :ivar is_claimed: a worker has claimed it.
    :ivar is_admitted: the API let its task start.
    """

    attempt: str
    process: Process
    began_at: float
    is_claimed: bool = True
    is_admitted: bool = False
    is_over: bool = False


class Runs:
    """One live run of each attempt, and one start of its task.

    :param unanswered: attempts whose submission may not have been answered. If Redis has lost data since, one is
        submitted once more, though it has ended: the API refuses the start of its task.
    :param held_up: attempts that a scheduler was just about to submit when it was paused. Nothing keeps it from doing
        so when it wakes.
    :param is_calm: there are no faults: then agents delete the pods of what was taken back at once.
    :ivar forgotten_at: when Redis last lost data.
    :ivar emptied_at: when it last lost all data.
    """

    def __init__(self, world: World, unanswered: Collection[str], held_up: Collection[str], *, is_calm: bool) -> None:
        self._world = world
        self._deleted_seconds = _DELETED_SECONDS if is_calm else _LOST_SECONDS
        self._held_up = held_up
        self._unanswered = unanswered
        self.violations: list[str] = []
        self.all: list[Run] = []
        self.forgotten_at = self.emptied_at = 0.0

    def begin(self, attempt: str, process: Process, *, is_claimed: bool) -> Run:
        """Note that an attempt is run.

        :param is_claimed: a worker has claimed it. A pod has no claim: the API refuses the start of a task that has
            started before, if a pod is created twice because its creation was not answered.
        """
        now = self._world.now
        for other in self.all:
            if other.attempt != attempt:
                continue
            is_alive = not other.is_over and not other.process.is_dead
            if is_alive and not other.process.paused_until and now - other.began_at < _LOST_SECONDS:
                self.violations.append(f"attempt {attempt[:8]} has two live runs")
            elif other.is_admitted and is_claimed and not self._may_be_unknown(other):
                self.violations.append(f"attempt {attempt[:8]} is run again although its task had started")
        run = Run(attempt, process, now, is_claimed)
        self.all.append(run)
        return run

    def _may_be_unknown(self, run: Run) -> bool:
        return run.attempt in self._unanswered and run.began_at <= self.forgotten_at

    def admitted(self, run: Run, row: Row) -> None:
        """Note that its task has started."""
        if any(other.is_admitted for other in self.all if other.attempt == run.attempt):
            self.violations.append(f"the task of attempt {run.attempt[:8]} was started twice")
        run.is_admitted = True
        is_excused = run.process.paused_until or run.attempt in self._held_up or self._may_start_late(run, row)
        if row.attempt != run.attempt and not is_excused:
            self.violations.append(f"attempt {run.attempt[:8]} started {row.name}, whose attempt is {row.attempt[:8]}")

    def _may_start_late(self, run: Run, row: Row) -> bool:
        """Return whether a run may start its task after Airflow has taken its attempt back: the API lets any run do so.

        The pod may not be deleted yet. Or Redis has lost all data since, and a worker had the message already.
        """
        taken_back_at = row.taken_back.get(run.attempt)
        if taken_back_at is None:
            return False
        if run.is_claimed:
            return taken_back_at <= self.emptied_at
        return self._world.now - taken_back_at <= self._deleted_seconds

    def end(self, run: Run) -> None:
        """Note that a run is over."""
        run.is_over = True


class Records:
    """Looks at each record that is written: what has ended stays so, and all that follows from a state is there."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._keys = Keys(INSTANCE)
        self._prefix, self._owner_prefix = self._keys.attempt(""), self._keys.owner("")
        self._known: dict[str, tuple[str, int]] = {}
        self._live_prefix, self._lease_prefix = self._keys.live(""), self._keys.lease("")
        self._leases: dict[str, tuple[str, int, int]] = {}
        self._owner_keys: set[str] = set()
        self._is_after_loss = False
        self.violations: list[str] = []
        server.after_writes.append(self._look)

    def forget(self) -> None:
        """Redis has lost data: what was known before need not hold any more, only what it holds now."""
        self._known.clear()
        self._leases.clear()
        self._is_after_loss = True
        for key in self._server.all_keys():
            record = self._server.peek(key) if key.startswith(self._prefix) else None
            if isinstance(record, dict) and "state" in record:
                self._known[key.removeprefix(self._prefix)] = record["state"], int(record.get("generation", "0"))

    def _look(self, written: Iterable[str]) -> None:
        prefix, owner_prefix = self._prefix, self._owner_prefix
        touched = []
        has_changed_sets = False
        for key in written:
            if key.startswith(prefix):
                touched.append(key.removeprefix(prefix))
            elif key.startswith(owner_prefix):
                self._owner_keys.add(key)
                has_changed_sets = True
            elif key.startswith(self._live_prefix):
                has_changed_sets = True
            elif key.startswith(self._lease_prefix):
                self._look_at_lease(key)
        for attempt in touched:
            record = self._server.peek(prefix + attempt)
            if isinstance(record, dict) and "state" in record:
                self._look_at(attempt, record)
        if has_changed_sets and not self._is_after_loss:
            for attempt, (state, _) in self._known.items():
                if attempt not in touched and (record := self._server.peek(prefix + attempt)):
                    self._look_at_sets(attempt, record, is_live=state not in _TERMINAL)

    def _look_at(self, attempt: str, record: dict[str, str]) -> None:
        state, generation, name = record["state"], int(record.get("generation", "0")), attempt[:8]
        before = self._known.get(attempt)
        self._known[attempt] = state, generation
        if before is not None:
            if before[0] in _TERMINAL and state != before[0]:
                self.violations.append(f"attempt {name} was {before[0]} and is {state}")
            elif before[0] in _TERMINAL and not self._is_after_loss:
                self.violations.append(f"attempt {name} has ended, and its record was written again")
            if generation < before[1]:
                self.violations.append(f"the generation of attempt {name} fell from {before[1]} to {generation}")
        if before != (state, generation) and not self._is_told(attempt, state, generation):
            self.violations.append(f"no event tells that attempt {name} is {state}")
        self._look_at_sets(attempt, record, is_live=state not in _TERMINAL)
        # What is written again after a loss leaves a payload that came back; it goes with the attempt's end.
        is_done_with = state in _TERMINAL or (state == "running" and not self._is_after_loss)
        if is_done_with and self._server.peek(self._keys.payload(attempt)) is not None:
            self.violations.append(f"attempt {name} is {state} and has its payload still")

    def _look_at_lease(self, key: str) -> None:
        """A lease is taken from its holder only when its time is over, and then its fencing number rises."""
        lease = self._server.peek(key)
        holder, until, fence = lease["holder"], int(lease["until"]), int(lease["fence"])
        before = self._leases.get(key)
        self._leases[key] = holder, until, fence
        if before is None or not holder or holder == before[0]:
            return
        if before[0] and before[1] > self._server.milliseconds():
            self.violations.append(f"{key} was taken from {before[0]} by {holder} before its time was over")
        if fence <= before[2]:
            self.violations.append(f"{key} went from {before[0]} to {holder} without a new fencing number")

    def _look_at_sets(self, attempt: str, record: dict[str, str], *, is_live: bool) -> None:
        name, owner = attempt[:8], record.get("owner", "")
        live = self._server.peek(self._keys.live(record.get("pool", ""))) or ()
        if (attempt in live) != is_live:
            self.violations.append(f"attempt {name} is {record['state']}, which its pool's set does not say")
        self._look_at_places(attempt, record, is_live=is_live)
        owners = {
            key.removeprefix(self._owner_prefix)
            for key in self._owner_keys
            if attempt in (self._server.peek(key) or ())
        }
        if owners != ({owner} if is_live and owner else set()):
            self.violations.append(
                f"attempt {name} of {owner} is {record['state']} and in the sets of {sorted(owners)}"
            )

    def _look_at_places(self, attempt: str, record: dict[str, str], *, is_live: bool) -> None:
        """An attempt is counted where its record says that it is, and no target has more attempts than it may have.

        What was written again after a loss is counted by a later repair.
        """
        prefix, counted = self._keys.place(""), set()
        for key in self._server.all_keys():
            if key.startswith(prefix):
                place, members = key.removeprefix(prefix), self._server.peek(key)
                counted |= {place} if attempt in members else set()
                if len(members) > MOST.get(place, 99) and not self._is_after_loss:
                    self.violations.append(f"{len(members)} attempts are at {place}")
        route, target = record.get("route", ""), record.get("target", "")
        expected = {place_name(route, target)} if route and is_live else set()
        if counted != expected and not self._is_after_loss:
            self.violations.append(f"attempt {attempt[:8]} is counted at {sorted(counted)}, not at {sorted(expected)}")

    def _is_told(self, attempt: str, state: str, generation: int) -> bool:
        events = self._server.peek(self._keys.events)
        wanted = ["attempt", attempt, "state", state, "generation", str(generation)]
        return events is not None and any(fields[:6] == wanted for _, fields in events.entries[-50:])


def judge_end(history: History) -> list[str]:
    """Return what does not hold once all is quiet."""
    plan, airflow, schedulers = history.plan, history.airflow, history.schedulers
    found: list[str] = []
    for row in airflow.rows:
        if row.state not in ("success", "failed"):
            found.append(f"{row.name} is still {row.state or 'none'} (attempt {row.attempt[:8]}) at the end")
    if found:
        return found
    found += _left_in_redis(history)
    if history.kube is not None:
        found += _left_pods(history)
    for scheduler in schedulers:
        if scheduler.process.is_dead or not scheduler.is_open:
            continue
        executor = scheduler.executor
        if len(executor.context.ledger) or executor.slots_occupied:
            held = ", ".join(f"{t.attempt[:8]} {t.state.value}" for t in executor.context.ledger)
            found.append(f"{scheduler.process.name} counts attempts as live: {held}")
        if executor.running:
            found.append(f"{scheduler.process.name} has {len(executor.running)} keys in running")
        if executor.context.pending.to_revoke or executor.context.pending.to_adopt:
            found.append(f"{scheduler.process.name} still has something to do: {executor.context.pending}")
    if not plan.has("flush", "restart", "fall_back") and not any(fault.is_of_redis for fault in plan.faults):
        found += [
            f"a heartbeat of {scheduler.process.name} made {scheduler.most_trips} round trips"
            for scheduler in schedulers
            if scheduler.most_trips > _MOST_TRIPS
        ]
    if (
        not plan.has("kill", "pause", "time_out", "lose_process")
        and not plan.actions
        and not any(fault.is_of_pod for fault in plan.faults)
    ):
        found += _wrong_ends(airflow)
    if not history.network.lost_messages and _is_mild(plan):
        found += _long_waits(plan, airflow)
    return found


def _left_in_redis(history: History) -> list[str]:
    """Return what is left in Redis. What died with its scheduler and its worker is shown by ``reconcile``, not more."""
    found: list[str] = []
    server, keys = history.server, Keys(INSTANCE)
    orphaned = _orphaned(history)
    for key in server.all_keys():
        value, name = server.peek(key), key.removeprefix(keys.prefix)
        if key.startswith(keys.attempt("")):
            attempt = key.removeprefix(keys.attempt(""))
            if value.get("state") not in _TERMINAL and attempt not in orphaned:
                found.append(f"attempt {attempt[:8]} is left {value.get('state')}: {_short(value)}")
        elif key.startswith((keys.owner(""), keys.live(""), keys.place(""))):
            if not key.startswith(keys.owner("")) or _has_live_owner(key, history.schedulers):
                left = [attempt[:8] for attempt in value if attempt not in orphaned]
                if left:
                    found.append(f"{name} is left over with {', '.join(left)}")
        elif key.startswith((keys.payload(""), keys.overrides(""))) and key[-36:] not in orphaned:
            found.append(f"{name} is left over")
        elif key.startswith(keys.launch("")) and (value.entries or any(g.pending for g in value.groups.values())):
            found.append(f"{name} has {len(value.entries)} entries still")
        elif key in QUEUES:
            found.append(f"{len(value)} messages are left over")
    return found


def _orphaned(history: History) -> set[str]:
    """Return attempts whose scheduler is dead and that Airflow does not wait for: nobody could know of their end."""
    keys, server = Keys(INSTANCE), history.server
    live = {str(scheduler.job.id) for scheduler in history.schedulers if not scheduler.process.is_dead}
    wanted = {row.attempt for row in history.airflow.rows if row.state in ("queued", "running", "restarting")}
    records = {key.removeprefix(keys.attempt("")): server.peek(key) for key in server.all_keys() if _is_record(key)}
    return {attempt for attempt, record in records.items() if record.get("owner") not in live | {""}} - wanted


def _is_record(key: str) -> bool:
    return key.startswith(Keys(INSTANCE).attempt(""))


def _left_pods(history: History) -> list[str]:
    """A pod is gone in the end, or it has ended, is kept, and is marked so.

    Pods of a Redis that no agent remembers after it lost its data may belong to another deployment: they are left.
    """
    assert history.kube is not None
    found, keys, server = [], Keys(INSTANCE), history.server
    known = server.peek(keys.identities) or ()
    for pod in history.kube.server.all_pods():
        identity = identify(pod)
        if identity is None or (identity.redis_id not in known and server.peek(keys.attempt(identity.attempt)) is None):
            continue
        has_ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        is_marked = all(
            item in pod["metadata"]["labels"].items() for item in done_patch()["metadata"]["labels"].items()
        )
        if not (has_ended and is_marked):
            found.append(f"pod {pod['metadata']['name']} is left over, {pod['status'].get('phase')}")
    return found


def _is_mild(plan: Plan) -> bool:
    """Return whether nothing happens that has to be repaired: only exchanges fail, and are repeated at once."""
    return not plan.actions and all(
        fault.is_of_redis and fault.kind != "late" and fault.seconds <= 1 for fault in plan.faults
    )


def _long_waits(plan: Plan, airflow: Airflow) -> list[str]:
    """No task waits for a timed repair: all would run one after the other in this time."""
    most = _LONGEST_WAIT_SECONDS + sum(task.seconds * len(task.runs) * (task.retries + 1) for task in plan.tasks)
    return [f"{row.name} waited for {row.longest_wait:.0f} s" for row in airflow.rows if row.longest_wait > most]


def _wrong_ends(airflow: Airflow) -> list[str]:
    """Without dead processes, and whatever Redis does, each task runs as often as planned and ends as planned."""
    found = []
    for row in airflow.rows:
        runs = list(row.plan.runs)
        tries, expected = 0, 0
        state = "success"
        for end in [*runs, "success"]:
            expected += 1
            if end == "failed":
                tries += 1
                if tries > row.plan.retries:
                    state = "failed"
                    break
            elif end == "success":
                break
        if row.state != state or row.runs != expected:
            found.append(f"{row.name} is {row.state} after {row.runs} runs; planned: {state} after {expected}")
    return found


def _has_live_owner(key: str, schedulers: list[Scheduler]) -> bool:
    owner = key.rpartition(":")[2]
    return any(str(s.job.id) == owner and not s.process.is_dead for s in schedulers)


def _short(record: Any) -> str:
    names = ("owner", "generation", "holder", "received_by", "launches")
    return ", ".join(f"{name} {record[name]}" for name in names if record.get(name))
