"""What must hold some seconds after the last fault: what is wrong for a moment must not be so for longer.

A timed repair makes good in the end what some part should have done before. Here each part has to be in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hybrid_executor.store.keys import Keys
from tests.simulation.faults import name_of
from tests.simulation.invariants_of_records import TERMINAL
from tests.simulation.names import INSTANCE, MOST

if TYPE_CHECKING:
    from tests.simulation.airflow_model import Airflow
    from tests.simulation.invariants import Run, Runs
    from tests.simulation.plan import Plan
    from tests.simulation.redis_server import RedisServer
    from tests.simulation.scheduler import Scheduler
    from tests.simulation.worker import Worker
    from tests.simulation.world import Process, World

_EVERY_SECONDS = 1.0
_LET_GO_SECONDS = 40.0
"""Timed repairs come every 10 s, and a Redis that was unavailable may be asked again only 10 s later."""

_SEEN_SECONDS = 5.5
"""A scheduler sees a loss of data within 4 s. Without that it compares some of its attempts every 10 s."""

_IN_TIME_SECONDS = 7.5
"""A worker looks after its records every 5 s."""


class Ledgers:
    """An attempt has one scheduler that answers for it; another one lets it go with its next timed repair."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._not_before = plan.quiet_from
        self._since: dict[str, float] = {}
        self._next_look = 0.0
        self.violations: list[str] = []

    def look(self, schedulers: Iterable[Scheduler]) -> None:
        """Look now and then who answers for what."""
        now = self._world.seconds()
        if now < self._next_look:
            return
        self._next_look = now + _EVERY_SECONDS
        awake = [
            s for s in schedulers if s.is_open and not s.process.is_dead and s.process.paused_until < self._world.now
        ]
        known: set[str] = set()
        shared: set[str] = set()
        for scheduler in awake if len(awake) > 1 else ():
            held = {tracked.attempt for tracked in scheduler.executor.context.ledger}
            shared |= held & known
            known |= held
        self._since = {attempt: self._since.get(attempt, now) for attempt in shared}
        for attempt, since in self._since.items():
            if now - max(since, self._not_before) > _LET_GO_SECONDS:
                self.violations.append(f"two schedulers answer for attempt {attempt[:8]}")


class Delays:
    """Records are back soon after Redis has lost them, and ends are told soon after they have happened.

    :param disturbed_until: until when each process was kept from what it does by a fault of its exchanges with Redis.
    """

    def __init__(self, world: World, plan: Plan, server: RedisServer, disturbed_until: Mapping[str, float]) -> None:
        self._world = world
        self._exchanges_disturbed_until = disturbed_until
        self._faults = plan.faults
        self._server = server
        self._keys = Keys(INSTANCE)
        self._next_look = 0.0
        self._since: dict[tuple[str, str, str], float] = {}
        self._wrong: set[tuple[str, str, str]] = set()
        self.violations: list[str] = []

    def look(self, schedulers: Iterable[Scheduler], workers: Iterable[Worker], runs: Runs, airflow: Airflow) -> None:
        """Look now and then for what should have been made good."""
        now = self._world.seconds()
        if now < self._next_look:
            return
        self._next_look = now + _EVERY_SECONDS
        self._wrong = set()
        for scheduler in schedulers:
            if scheduler.is_open and not scheduler.process.is_dead:
                self._look_at_ledger(scheduler, airflow)
                self._look_at_given_up(scheduler)
        for worker in workers:
            if not worker.process.is_dead and not worker.is_stopping:
                self._look_at_running(worker, airflow)
        main = {slot: one.process for one in workers if not one.process.is_dead for slot in one.process.children}
        for run in runs.all:
            is_told = run.is_over and run.is_claimed and run.is_admitted and run.process in main
            if is_told and run.attempt not in runs.erased:
                self._look_at_end(run, main[run.process])
        self._since = {what: since for what, since in self._since.items() if what in self._wrong}

    def _look_at_ledger(self, scheduler: Scheduler, airflow: Airflow) -> None:
        for tracked in scheduler.executor.context.ledger:
            row = airflow.attempts_of.get(tracked.attempt)
            # The record of what a worker runs is left to it. What cannot be recorded before there is room on its target
            # is tried again with the comparisons, and what Airflow does not wait for is ended by them.
            states = ("queued",) if tracked.pool == "celery" else ("queued", "running")
            is_awaited = row is not None and row.attempt == tracked.attempt and row.state in states
            may_wait = tracked.pool == "celery" and f"{tracked.queue}>celery" in MOST
            record = self._record(tracked.attempt)
            if record is None and is_awaited and not may_wait:
                self._is_wrong(scheduler.process, tracked.attempt, "answers for, has no record", _SEEN_SECONDS)
            elif record is not None and record.get("state") in TERMINAL:
                self._is_wrong(scheduler.process, tracked.attempt, "counts as live, has ended", _SEEN_SECONDS)

    def _look_at_given_up(self, scheduler: Scheduler) -> None:
        for attempt in scheduler.given_up:
            record = self._record(attempt)
            if record is not None and record.get("state") not in TERMINAL:
                self._is_wrong(scheduler.process, attempt, "has given up, is not revoked", _SEEN_SECONDS)

    def _look_at_running(self, worker: Worker, airflow: Airflow) -> None:
        for attempt in worker.running:
            row, record = airflow.attempts_of.get(attempt), self._record(attempt)
            runs_here = row is not None and row.attempt == attempt and row.run_by is worker.running[attempt]
            if runs_here and (record is None or record.get("state") == "submitted"):
                self._is_wrong(worker.process, attempt, "runs, has no record that says so")

    def _look_at_end(self, run: Run, worker: Process) -> None:
        """Look at what has run in a task process, also in one that has died: then the main process tells."""
        record = self._record(run.attempt)
        holder = f"@{worker.name}"
        if record is not None and record.get("state") == "running" and record.get("holder", "").endswith(holder):
            self._is_wrong(worker, run.attempt, "has run, is running by its record")

    def _is_wrong(self, process: Process, attempt: str, words: str, most_seconds: float = _IN_TIME_SECONDS) -> None:
        now, what = self._world.seconds(), (process.name, attempt, words)
        self._wrong.add(what)
        since = self._since.setdefault(what, now)
        if now - max(since, self._disturbed_until(process)) > most_seconds:
            self.violations.append(f"attempt {attempt[:8]}, which {process.name} {words}")

    def _disturbed_until(self, process: Process) -> float:
        """Return until when a process was kept from what it does, by the faults up to now."""
        now, name = self._world.seconds(), name_of(process)
        times = [fault.ends_at for fault in self._faults if fault.at <= now and fault.target in ("*", name)]
        met_until = self._exchanges_disturbed_until.get(name, 0.0)
        return max([met_until, process.paused_until - (self._world.now - now), *times])

    def _record(self, attempt: str) -> Mapping[str, str] | None:
        record: Mapping[str, str] | None = self._server.peek(self._keys.attempt(attempt))
        return record
