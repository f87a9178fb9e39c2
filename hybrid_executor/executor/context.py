"""What the parts of one running executor share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid_executor.complaints import Complaints
from hybrid_executor.config import Settings
from hybrid_executor.events import OwnerId
from hybrid_executor.executor import slots
from hybrid_executor.executor.clock import Clock, Sleep
from hybrid_executor.executor.ledger import Ledger, Tracked
from hybrid_executor.executor.outage import Outage
from hybrid_executor.executor.pending import Pending
from hybrid_executor.executor.placing import Placing
from hybrid_executor.executor.reports import Reports
from hybrid_executor.fairness import LEAD_ROUNDS, Turns
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.pools.pool import RecordedPool
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Store
from hybrid_executor.targets import target_name

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteTask


@dataclass(kw_only=True)
class Context:
    """One scheduler's attempts: where they are recorded, what is remembered of them, and what is still to be done.

    :ivar make_workloads: returns workloads with new tokens for tasks that Airflow still has as queued, by workload id;
        for a workload that cannot be made, the error instead.
    :ivar trusts_ids: the scheduler gives each task a new id at each queueing.
    :ivar free_slots: returns the free slots of each pool; ``None`` for what the settings allow besides these attempts.
    :ivar turned_at: when this scheduler last finished a loop in which Redis could be asked.
    :ivar is_late: what waits to be submitted may be queued by another scheduler since, and that is not checked yet.
    :ivar complaints: what is said once while it lasts.
    """

    settings: Settings
    store: Store
    owner: OwnerId
    pools: Mapping[str, RecordedPool]
    default_queue: str
    reports: Reports
    make_workloads: Callable[[list[str]], dict[str, ExecuteTask | Exception]]
    trusts_ids: bool = True
    clock: Clock = time.monotonic
    metrics: Metrics = SILENT
    sleep: Sleep = time.sleep
    free_slots: Callable[[], Mapping[str, int]] | None = None
    ledger: Ledger = field(default_factory=Ledger)
    pending: Pending = field(default_factory=Pending)
    turns: Turns = field(init=False)
    outage: Outage = field(init=False)
    placing: Placing = field(init=False)
    turned_at: float = float("inf")
    is_late: bool = False
    complaints: Complaints = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Turns(self.settings.shares, rounds=LEAD_ROUNDS)
        self.complaints = Complaints(clock=self.clock)
        self.outage = Outage(clock=self.clock, check_writes=self.store.check_writes, on_trouble=self._count_trouble)
        self.placing = Placing(
            self.settings.routes,
            self.store,
            outage=self.outage,
            clock=self.clock,
            silent_seconds=self.settings.worker_lost_after_seconds,
            free_slots=self.free_slots or self._free_slots,
        )

    def _free_slots(self) -> Mapping[str, int]:
        return slots.free_slots(self.settings.parallelism, {pool: self.ledger.count(pool) for pool in self.pools})

    def _count_trouble(self, code: str) -> None:
        self.metrics.count(metric.REDIS_ERRORS, role="scheduler", code=code or "unreachable")

    def track(self, tracked: Tracked) -> None:
        """Remember an attempt. An older attempt of the same key is revoked, or left to its end where it runs."""
        older = self.ledger.add(tracked)
        self.reports.running(tracked.key)
        if older is not None:
            self._leave_behind(older)

    def supersede(self, tracked: Tracked) -> None:
        """Tell Airflow nothing of an attempt any more: its task has another one, which is not tracked."""
        self.ledger.remove(tracked.attempt)
        self.reports.superseded(tracked)
        self._leave_behind(tracked)

    def _leave_behind(self, older: Tracked) -> None:
        if older.state is State.RUNNING:
            # A deferred task may resume before its first process has ended: that process is left to end by itself.
            older.is_superseded = True
            self.ledger.add(older)
        else:
            self.pending.to_revoke.add(older.attempt)

    def apply_record(self, tracked: Tracked, record: Record, *, is_new_start: bool = True) -> None:
        """Update what is remembered of an attempt to its record. A state of a newer release changes nothing.

        What has ended has ended, whatever its generation: a worker that reports an end after Redis has lost the record
        writes a new one, whose generations begin again.

        :param is_new_start: one that runs was not known to run before, neither to this scheduler nor to another.
        """
        is_current = record.generation >= tracked.generation or record.state.is_terminal
        if is_current and record.state is not State.UNKNOWN:
            tracked.submitted_at = record.submitted_at
            self.place(tracked, record)
            self.apply(
                tracked,
                record.state,
                record.generation,
                holder=record.holder,
                reason=record.reason,
                namespace=record.namespace,
                at=record.running_at,
                is_new_start=is_new_start,
            )

    def apply(
        self,
        tracked: Tracked,
        state: State,
        generation: int,
        *,
        holder: str,
        reason: str,
        namespace: str = "",
        at: int = 0,
        is_new_start: bool = True,
    ) -> None:
        """Note an attempt's new state, and tell Airflow where it ended.

        :param at: when the state began, milliseconds on the Redis server's clock; 0 where it is not known.
        """
        is_known = state == tracked.state and generation == tracked.generation
        if is_known and state is not State.LOST and not state.is_terminal:
            return
        tracked.state, tracked.generation, tracked.holder = state, generation, holder
        tracked.namespace = namespace or tracked.namespace
        tracked.since = self.clock()
        if state is State.RUNNING and is_new_start:
            self._count_start(tracked, at)
        if state.is_terminal:
            self.settle(tracked, state, reason)
        elif state is State.LOST:
            self.pending.to_decide.add(tracked.attempt)
        elif state is State.RUNNING and tracked.kind == "callback":
            self.reports.changed(tracked, state, holder)

    def place(self, tracked: Tracked, record: Record) -> None:
        """Note on which target an attempt is by its record, and whether it is to leave it."""
        if record.pool in self.pools:
            self.ledger.put(tracked, record.pool)
            tracked.profile = record.profile
            tracked.target = record.target or target_name(record.pool, record.profile)
        tracked.leaving = record.leaving

    def fail(self, tracked: Tracked, reason: str) -> None:
        """Fail an attempt that cannot go on, in its record and for Airflow.

        :raises StoreUnavailable: Redis could not be asked; Airflow has not been told either.
        """
        fields = {"reason": reason, "category": "rejected"}
        self.store.attempts.advance(
            Change(attempt=tracked.attempt, to=State.FAILED, raises_generation=True, delete_pod=True, fields=fields)
        )
        self.settle(tracked, State.FAILED, reason)

    def settle(self, tracked: Tracked, state: State, reason: str) -> None:
        """Tell Airflow how an attempt ended, and forget it."""
        self.reports.changed(tracked, state, reason)
        self.ledger.remove(tracked.attempt)
        self.metrics.count(metric.FINISHED, pool=tracked.pool, queue=tracked.queue, state=state.value)

    def let_go(self, tracked: Tracked) -> None:
        """Forget an attempt that another scheduler answers for."""
        self.reports.changed(tracked, State.REVOKED, "")
        self.ledger.remove(tracked.attempt)

    def _count_start(self, tracked: Tracked, at: int) -> None:
        self.metrics.count(metric.STARTED, pool=tracked.pool, queue=tracked.queue)
        if at and tracked.submitted_at:
            seconds = (at - tracked.submitted_at) / 1000
            self.metrics.time(metric.QUEUED_TIME, seconds, pool=tracked.pool, queue=tracked.queue)

    def pool_of(self, work: Work) -> RecordedPool:
        """Return the pool of the work's target."""
        return self.pools[work.pool]

    def close(self) -> None:
        """Close all connections."""
        for pool in self.pools.values():
            pool.close()
        self.store.close()
