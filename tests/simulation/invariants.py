"""What must hold: at each step, and at the end once nothing happens any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import Keys

if TYPE_CHECKING:
    from tests.simulation.airflow_model import Airflow, Row
    from tests.simulation.plan import Plan
    from tests.simulation.redis_server import RedisServer
    from tests.simulation.scheduler import Scheduler
    from tests.simulation.world import Process, World

_TERMINAL = frozenset(state.value for state in TERMINAL_STATES)
_LOST_SECONDS = 30.0


@dataclass(eq=False)
class Run:
    """One time that a worker ran an attempt.

    :ivar is_admitted: the API let its task start.
    """

    attempt: str
    process: Process
    began_at: float
    is_admitted: bool = False
    is_over: bool = False


class Runs:
    """One live run of each attempt, and one start of its task."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self.all: list[Run] = []

    def begin(self, attempt: str, process: Process) -> Run:
        """Note that an attempt was claimed and is run."""
        now = self._world.now
        for other in self.all:
            if other.attempt != attempt:
                continue
            is_alive = not other.is_over and not other.process.is_dead
            if is_alive and not other.process.paused_until and now - other.began_at < _LOST_SECONDS:
                self.violations.append(f"attempt {attempt[:8]} has two live runs")
            elif other.is_admitted:
                self.violations.append(f"attempt {attempt[:8]} is run again although its task had started")
        run = Run(attempt, process, now)
        self.all.append(run)
        return run

    def admitted(self, run: Run, row: Row) -> None:
        """Note that its task has started."""
        run.is_admitted = True
        if row.attempt != run.attempt and not run.process.paused_until:
            self.violations.append(f"attempt {run.attempt[:8]} started {row.name}, whose attempt is {row.attempt[:8]}")

    def end(self, run: Run) -> None:
        """Note that a run is over."""
        run.is_over = True


class Records:
    """Looks at each record that is written: what has ended stays so, generations only rise."""

    def __init__(self, server: RedisServer, instance: str) -> None:
        self._server = server
        self._prefix = Keys(instance).attempt("")
        self._known: dict[str, tuple[str, int]] = {}
        self.violations: list[str] = []
        server.on_write = self._look

    def forget(self) -> None:
        """Redis has lost data: what was known before need not hold any more."""
        self._known.clear()

    def _look(self, key: str) -> None:
        if not key.startswith(self._prefix):
            return
        record = self._server.peek(key)
        if not isinstance(record, dict) or "state" not in record:
            return
        state, generation = record["state"], int(record.get("generation", "0"))
        before = self._known.get(key)
        self._known[key] = state, generation
        if before is None:
            return
        name = key.removeprefix(self._prefix)[:8]
        if before[0] in _TERMINAL and state != before[0]:
            self.violations.append(f"attempt {name} was {before[0]} and is {state}")
        if generation < before[1]:
            self.violations.append(f"the generation of attempt {name} fell from {before[1]} to {generation}")


def judge_end(
    plan: Plan, world: World, airflow: Airflow, server: RedisServer, schedulers: list[Scheduler], instance: str
) -> list[str]:
    """Return what does not hold once all is quiet."""
    found: list[str] = []
    for row in airflow.rows:
        if row.state not in ("success", "failed"):
            found.append(f"{row.name} is still {row.state or 'none'} (attempt {row.attempt[:8]}) after {world.seconds():.0f} s")
    if found:
        return found
    keys = Keys(instance)
    for key in server.keys():
        value = server.peek(key)
        if key.startswith(keys.attempt("")) and value.get("state") not in _TERMINAL:
            found.append(f"attempt {key[-36:][:8]} is left {value.get('state')}: {_short(value)}")
        elif key.startswith((keys.payload(""), keys.overrides(""), keys.owner(""), keys.live(""))):
            if not (key.startswith(keys.owner("")) and not _has_live_owner(key, schedulers)):
                found.append(f"{key.removeprefix(keys.prefix)} is left over")
        elif key == "default":
            found.append(f"{len(value)} messages are left over")
    for scheduler in schedulers:
        if scheduler.process.is_dead or not scheduler.is_open:
            continue
        executor = scheduler.executor
        if len(executor.context.ledger) or executor.slots_occupied:
            found.append(f"{scheduler.process.name} counts {len(executor.context.ledger)} attempts as live")
        if executor.running:
            found.append(f"{scheduler.process.name} has {len(executor.running)} keys in running")
        if executor.context.pending.to_revoke or executor.context.pending.to_adopt:
            found.append(f"{scheduler.process.name} still has something to do: {executor.context.pending}")
    if not plan.has("kill", "pause") and not plan.actions:
        found += _wrong_ends(airflow)
    return found


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
