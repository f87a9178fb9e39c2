"""Attempts whose worker or pod is gone: whether they are submitted again or failed is decided by evidence.

The evidence is Airflow's database, which knows whether a task has started and whether its process is heard of.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.beats import Beats
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.resubmission import end, submit_again
from hybrid_executor.executor.turns import Turns
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record

log = logging.getLogger(__name__)

_UNSENT_AFTER_SECONDS = 30.0
_LOOKED_UP_EACH_TIME = 2_000
_LAUNCHES_ON_WORKERS = 3
# Each of them takes at least as long as the Task SDK goes on asking, some 10 s by default.
_LAUNCHES_WITHOUT_API = 20
_WORKLOAD_LOST = "workload_lost"
_NOT_HANDED_OVER = "not_handed_over"
_DUPLICATE = "duplicate"
_DELETED = "deleted"
_VANISHED = "vanished"
# The task of such an attempt may run: in a pod that no agent has found yet, in a process of an earlier delivery, or in
# a later pod, of which Redis has lost that it was created.
_MAY_RUN = (_WORKLOAD_LOST, _DUPLICATE, _VANISHED)
# Its workload did not reach its pod, so neither the task nor its pod is to blame.
_WITHOUT_WORKLOAD = (_WORKLOAD_LOST, _NOT_HANDED_OVER, "expired")
_LAUNCHES_WITHOUT_WORKLOAD = 8
_WAITS = ("queued", "scheduled")
_ENDED_WELL = ("success", "skipped", "deferred", "up_for_reschedule")
_FAILED = ("failed", "up_for_retry")


class LostWork:
    """Each method may be repeated at any time.

    :param pod_launch_retries: how often a pod that dies before its task starts is launched again, negative for ever.
    """

    def __init__(self, context: Context, *, pod_launch_retries: int) -> None:
        self._context = context
        self._pod_launch_retries = pod_launch_retries
        self._beats = Beats()
        self._turns = Turns(_LOOKED_UP_EACH_TIME)

    def find_lost_workers(self) -> None:
        """Decide about attempts that run according to their record, and that no living worker has."""
        context = self._context
        quiet_seconds = context.settings.worker_lost_after_seconds
        if not context.outage.can_tell_silence(quiet_seconds):
            return
        now = context.clock()
        running = [
            tracked
            for tracked in context.ledger
            if tracked.pool == "celery" and tracked.state is State.RUNNING and now - tracked.since >= quiet_seconds
        ]
        in_hand = context.store.presence.in_hand() if running else set()
        suspected = [tracked for tracked in running if tracked.attempt not in in_hand]
        rows = compat.read_tasks(t.workload_id for t in suspected if t.kind == "task") if suspected else {}
        # Where the task process sends heartbeats to Airflow, its worker is only cut off from Redis.
        beating = self._beats.of(rows, quiet_seconds=quiet_seconds, now=now)
        if suspected:
            self._conclude([t for t in suspected if t.workload_id not in beating], rows, "worker lost")

    def decide_pending(self) -> None:
        """Decide about attempts that an agent or a worker reported lost: their pod died, but had the task started?"""
        ledger, to_decide = self._context.ledger, self._context.pending.to_decide
        to_decide |= {tracked.attempt for tracked in ledger if tracked.state is State.LOST}
        asked = set(to_decide)
        lost = [t for t in map(ledger.get, asked) if t is not None and t.state is State.LOST]
        if lost:
            rows = compat.read_tasks(t.workload_id for t in lost if t.kind == "task")
            self._conclude(lost, rows, "")
        to_decide -= asked

    def _conclude(self, lost: Sequence[Tracked], rows: dict[str, compat.TaskRow], words: str) -> None:
        """Submit again what never started; fail the rest with the reason.

        Where the task has told Airflow itself that it ended well, only the report to Redis was lost.
        """
        context = self._context
        quiet_seconds = context.settings.worker_lost_after_seconds
        again: dict[AttemptId, Tracked] = {}
        known: dict[AttemptId, Record] = {}
        changes = []
        for tracked, record in zip(lost, _records(context, lost), strict=True):
            if record is None or record.state.is_terminal:
                continue
            if record.trouble:
                context.fail(tracked, record.trouble)
                continue
            known[tracked.attempt] = record
            row = rows.get(tracked.workload_id)
            if record.category in _MAY_RUN and row is not None and row.is_beating(quiet_seconds):
                continue
            if row is not None and row.attempt == tracked.attempt and row.state in _ENDED_WELL:
                changes.append(Change(attempt=tracked.attempt, to=State.SUCCEEDED, generation=record.generation))
                continue
            if row is not None and row.state not in compat.UNFINISHED:
                # It has ended, or was deferred and may be resumed by now: this end is nobody's failure. Or a task was
                # killed for its memory, and its supervisor, which lives on, has told Airflow.
                has_failed = row.attempt == tracked.attempt and row.state in _FAILED
                end(context, tracked, died=record.reason if has_failed else "")
                continue
            has_started = row is None or row.state not in _WAITS
            is_ours = row is None or row.attempt in ("", tracked.attempt)
            if tracked.kind == "task" and not has_started and is_ours and self._may_repeat(record):
                again[tracked.attempt] = tracked
                continue
            holder = tracked.holder or "its worker"
            reason = record.reason or f"{words}: {holder} disappeared without a report of how it ended"
            if record.category == _DUPLICATE:
                reason = f"{reason}, which has sent no heartbeat for {quiet_seconds:.0f} s"
            changes.append(
                Change(
                    attempt=tracked.attempt,
                    to=State.FAILED,
                    generation=record.generation,
                    fields={"reason": reason, "category": record.category or "worker_lost"},
                )
            )
        claims = context.store.attempts.advance_all(changes)
        failed = sum(c.is_granted for c, change in zip(claims, changes, strict=True) if change.to is State.FAILED)
        context.metrics.count(metric.REPAIRED, failed, repair="failed_lost")
        submit_again(context, again, known)

    def _may_repeat(self, record: Record) -> bool:
        if record.leaving:
            return True  # its pod was deleted for that
        most = self._pod_launch_retries if record.pool == "kubernetes" else _LAUNCHES_ON_WORKERS
        if record.category == "api_unreachable":
            most = _LAUNCHES_WITHOUT_API
        if most >= 0:
            # Nobody saw its pod go, and an agent deletes one that has not accepted its workload.
            is_given_up = record.category in (_DELETED, _VANISHED) and bool(record.hand_over_pod)
            if is_given_up or record.category in _WITHOUT_WORKLOAD:
                most = max(most, _LAUNCHES_WITHOUT_WORKLOAD)
        return most < 0 or record.launches < most

    def find_unsent(self) -> None:
        """Send messages again that left their queue, or their worker, and whose attempt was not started."""
        context, now = self._context, self._context.clock()
        late = [
            t
            for t in context.ledger
            if t.pool == "celery" and t.state is State.SUBMITTED and now - t.since >= _UNSENT_AFTER_SECONDS
        ]
        waiting = {t.attempt: t for t in self._turns.take(self._gone_from_queues(late))}
        if not waiting:
            return
        in_hand = context.store.presence.in_hand()
        known = {
            record.id: record
            for record in _records(context, list(waiting.values()))
            if record is not None and record.state is State.SUBMITTED and record.id not in in_hand
        }
        unsent = {record.id for record in known.values() if record.received_by}
        for name, pool in context.pools.items():
            untaken = [record for record in known.values() if record.pool == name and not record.received_by]
            unsent.update(record.id for record in pool.lost(context.store, untaken))
        if unsent:
            log.warning("%s messages never reached a worker; sending them again", len(unsent))
            submit_again(context, {attempt: waiting[attempt] for attempt in unsent}, known)

    def _gone_from_queues(self, tracked: Sequence[Tracked]) -> list[Tracked]:
        """Return those whose message may have left its queue; of 100,000 that wait there, only a few can have.

        Many are submitted in the same millisecond as the next message of the queue.
        """
        context = self._context
        places = {(t.pool, t.queue) for t in tracked}
        oldest = {place: context.pools[place[0]].oldest_waiting(context.store, place[1]) for place in places}
        return [t for t in tracked if not t.submitted_at or t.submitted_at <= oldest[t.pool, t.queue]]


def _records(context: Context, tracked: Sequence[Tracked]) -> list[Record | None]:
    return context.store.attempts.records([item.attempt for item in tracked])
