"""What must hold: at each step, and at the end once nothing happens any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_executor.store.keys import Keys
from tests.simulation.invariants_of_pods import left_pods
from tests.simulation.invariants_of_records import TERMINAL
from tests.simulation.names import INSTANCE, QUEUES

if TYPE_CHECKING:
    from tests.simulation.airflow_model import Airflow, Row
    from tests.simulation.history import History
    from tests.simulation.plan import Plan
    from tests.simulation.scheduler import Scheduler
    from tests.simulation.world import Process, World

_LOST_SECONDS = 30.0
_DELETED_SECONDS = 1.5
"""How long a pod may live that is to be deleted, and how long the answer to a claim may take."""

_UNSEEN_SECONDS = 3.0
"""How old a claim is that a scheduler has not read yet, or a worker has not begun to run yet."""

_LONGEST_WAIT_SECONDS = 20.0
_STARTING_SECONDS = 8.0
"""How long a pod counts as starting, where only few may start or run at the same time."""

_MOST_TRIPS = 34
"""Round trips to Redis of one heartbeat with all timed repairs in it, each of which finds something to look at."""


@dataclass(eq=False)
class Run:
    """One time that a worker or a pod ran an attempt.

    :ivar is_claimed: a worker has claimed it.
    :ivar had_message: that worker had its message when Redis lost all data.
    :ivar is_admitted: the API let its task start.
    """

    attempt: str
    process: Process
    began_at: float
    is_claimed: bool = True
    had_message: bool = False
    is_admitted: bool = False
    is_over: bool = False


class Runs:
    """One live run of each attempt, and one start of its task.

    :param unanswered: attempts whose submission may not have been answered. If Redis has lost data since, one is
        submitted once more, though it has ended: the API refuses the start of its task.
    :param held_up: attempts that a scheduler was just about to submit when it was paused. Nothing keeps it from doing
        so when it wakes.
    :param to_be_revoked: returns whether a scheduler that has taken an attempt back could not yet tell Redis.
    :param may_launch_again: nobody may know in time of a pod that has run, if Redis has lost it: its agent died while
        the API server was late, or its attempt's scheduler is dead or paused.
    :param may_accept_late: a pod may get its workload when nobody waits for it any more.
    :param is_calm: there are no faults: then agents delete the pods of what was taken back at once.
    :ivar forgotten_at: when Redis last lost data.
    :ivar forgotten_from: since when it has lost what happened.
    :ivar emptied_at: when it last lost all data.
    :ivar erased: attempts whose record a person deletes: what Redis does not know may be run once more.
    :ivar unseen: attempts whose claim Redis has lost before their scheduler had read of it.
    :ivar launched_again: attempts that have got a second pod after the first was gone, since a creation was late.
    """

    def __init__(
        self,
        world: World,
        unanswered: Collection[str],
        held_up: Collection[str],
        *,
        to_be_revoked: Callable[[str], bool],
        may_launch_again: bool,
        may_accept_late: bool,
        is_calm: bool,
    ) -> None:
        self._world = world
        self._to_be_revoked = to_be_revoked
        self._may_launch_again = may_launch_again
        self._may_accept_late = may_accept_late
        self._deleted_seconds = _DELETED_SECONDS if is_calm else _LOST_SECONDS
        self._held_up = held_up
        self._unanswered = unanswered
        self.violations: list[str] = []
        self.all: list[Run] = []
        self.forgotten_at = self.forgotten_from = self.emptied_at = 0.0
        self.erased: set[str] = set()
        self.unseen: set[str] = set()
        self.launched_again: set[str] = set()

    def begin(self, attempt: str, process: Process, *, taken_at: float | None) -> Run:
        """Note that an attempt is run.

        :param taken_at: when the worker that has claimed it took its message, ``None`` in a pod. A pod has no claim:
            the API refuses the start of a task that has started before, if a pod is created twice because its creation
            was not answered. It refuses a worker too that had the message when Redis lost all data.
        """
        now, is_claimed = self._world.now, taken_at is not None
        had_message = taken_at is not None and taken_at <= self.emptied_at
        for other in self.all:
            if other.attempt != attempt:
                continue
            is_alive = not other.is_over and not other.process.is_dead
            if is_alive and is_claimed and abs(other.began_at - self.forgotten_at) < _UNSEEN_SECONDS:
                continue
            if is_alive and not other.process.paused_until and now - other.began_at < _LOST_SECONDS:
                self.violations.append(f"attempt {attempt[:8]} has two live runs")
            elif other.is_admitted and is_claimed and not self._may_be_unknown(other, had_message=had_message):
                self.violations.append(f"attempt {attempt[:8]} is run again although its task had started")
        run = Run(attempt, process, now, is_claimed, had_message)
        self.all.append(run)
        return run

    def _may_be_unknown(self, run: Run, *, had_message: bool) -> bool:
        if run.attempt in self.erased or run.attempt in self.unseen:
            return True
        is_lost = run.began_at <= self.emptied_at or self.forgotten_from <= run.began_at <= self.forgotten_at
        if had_message and is_lost:
            return True
        if not run.is_claimed and self._may_accept_late and self.forgotten_at:
            return True
        return run.attempt in self._unanswered and run.began_at <= self.forgotten_at

    def admitted(self, run: Run, row: Row) -> None:
        """Note that its task has started. Where another attempt has started it, any other one may do so later."""
        earlier = [other for other in self.all if other.attempt == run.attempt and other.is_admitted]
        run.is_admitted = True
        is_known = not any(self._may_be_lost(run, other) for other in earlier)
        if earlier and is_known:
            self.violations.append(f"the task of attempt {run.attempt[:8]} was started twice")
        if row.attempt == run.attempt:
            return
        is_excused = run.process.paused_until or run.attempt in self._held_up or self._may_start_late(run, row)
        if not is_known or is_excused:
            row.started_late = row.name
        if row.started_late != row.name:
            self.violations.append(f"attempt {run.attempt[:8]} started {row.name}, whose attempt is {row.attempt[:8]}")

    def _may_be_lost(self, run: Run, other: Run) -> bool:
        """Return whether nobody who begins a run may know of an earlier one."""
        if self._may_be_unknown(other, had_message=run.had_message):
            return True
        is_late = run.attempt in self.launched_again or (self._may_launch_again and self.forgotten_at > 0)
        return not run.is_claimed and is_late

    def _may_start_late(self, run: Run, row: Row) -> bool:
        """Return whether a run may start its task after Airflow has taken its attempt back: the API lets any run do so.

        The pod may not be deleted yet. Or a worker had the attempt already, or its message, and Redis has lost the
        attempt since. Or Redis does not know of it yet.
        """
        queued_at, taken_back_at = row.taken_back.get(run.attempt, (0.0, 0.0))
        if not taken_back_at:
            return False
        if self._to_be_revoked(run.attempt):
            return True
        if run.is_claimed:
            is_unknown = queued_at <= self.emptied_at or self.forgotten_from <= queued_at <= self.forgotten_at
            # Its claim was granted, so it was made before.
            return is_unknown or run.began_at <= taken_back_at + _DELETED_SECONDS
        return self._world.now - taken_back_at <= self._deleted_seconds

    def end(self, run: Run) -> None:
        """Note that a run is over."""
        run.is_over = True


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
        found += left_pods(history)
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
        and not plan.has_actions
        and not any(fault.is_of_pod or fault.kind == "attach_late" for fault in plan.faults)
        and not (plan.has("attach_cut", "attach_unanswered") and plan.has("fall_back"))
    ):
        found += _wrong_ends(airflow)
    if not plan.has("kill", "pause", "stop", "time_out", "lose_process", "flush", "restart", "fall_back"):
        unused = Counter(attempt for attempt, _ in history.records.claims)
        unused.subtract(run.attempt for run in history.runs.all)
        found += [
            f"attempt {attempt[:8]} was claimed, and not run"
            for attempt, count in unused.items()
            # Of what was deleted, its worker claims it to write its end. What was revoked by then is not run.
            if count > 0 and attempt not in history.runs.erased and not history.records.was_revoked(attempt)
        ]
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
            if value.get("state") not in TERMINAL and attempt not in orphaned:
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


def _is_mild(plan: Plan) -> bool:
    """Return whether nothing happens that has to be repaired: only exchanges fail, and are repeated at once."""
    return not plan.has_actions and all(
        fault.is_of_redis and fault.kind != "late" and fault.seconds <= 1 for fault in plan.faults
    )


def _long_waits(plan: Plan, airflow: Airflow) -> list[str]:
    """No task waits for a timed repair: all would run one after the other in this time."""
    starts_in_turn = plan.starting_pods or min(plan.pods_per_second, plan.parallelism) < len(plan.tasks)
    each = _STARTING_SECONDS if starts_in_turn else 0.0
    most = _LONGEST_WAIT_SECONDS + sum(
        (task.seconds + each) * len(task.runs) * (task.retries + 1) for task in plan.tasks
    )
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
