"""Attempts that have not started and that Airflow does not wait for any more: their task was skipped, for example.

Airflow tells its executors nothing of that, nor of tasks that somebody marks, or whose Dag run ends. Without this
repair, a pod that finds no node would keep its slot for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.turns import Turns
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Change

log = logging.getLogger(__name__)

_AFTER_SECONDS = 30.0
_RECENT_SECONDS = 60.0
_SURE_AFTER_SECONDS = 5.0
_LOOKED_UP_EACH_TIME = 500
_NOT_STARTED = (State.SUBMITTED, State.LAUNCHING, State.PENDING)


class Unawaited:
    """Looks at attempts that have waited for some time, a part of them at each repair.

    An attempt is ended only if Airflow did not wait for it at two looks with some time between: a task may have run to
    its end in a pod of which no agent has seen that it started, and its log is saved after that.

    If Redis has lost data lately, all are looked at: it may have lost that they started, and they must not start again.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = Turns(_LOOKED_UP_EACH_TIME)
        self._suspected: dict[AttemptId, float] = {}

    def is_due(self) -> bool:
        """Return whether what was suspected can be decided now."""
        now = self._context.clock()
        return any(now - since >= _SURE_AFTER_SECONDS for since in self._suspected.values())

    def look(self) -> None:
        """Ask the database once for all that are looked at; may be repeated at any time.

        :raises StoreUnavailable: Redis could not be asked.
        """
        now = self._context.clock()
        after = 0.0 if not self._context.outage.can_tell_silence(_RECENT_SECONDS) else _AFTER_SECONDS
        waiting = [
            tracked
            for tracked in self._context.ledger
            if tracked.kind == "task" and tracked.state in _NOT_STARTED and now - tracked.since >= after
        ]
        again = [tracked for tracked in waiting if tracked.attempt in self._suspected]
        chosen = again + self._turns.take(tracked for tracked in waiting if tracked.attempt not in self._suspected)
        rows = compat.read_tasks(tracked.workload_id for tracked in chosen) if chosen else {}
        found = [tracked for tracked in chosen if self._is_unawaited(tracked, rows.get(tracked.workload_id))]
        since = {tracked.attempt: self._suspected.get(tracked.attempt, now) for tracked in found}
        sure = [tracked for tracked in found if now - since[tracked.attempt] >= _SURE_AFTER_SECONDS]
        self._take_back(sure, rows)
        for tracked in sure:
            del since[tracked.attempt]
        self._suspected = since

    def _is_unawaited(self, tracked: Tracked, row: compat.TaskRow | None) -> bool:
        if row is None:
            return True
        is_of_another = row.attempt not in ("", tracked.attempt)
        has_started = row.last_heartbeat_at is not None and not is_of_another
        return compat.is_unawaited(row.state, has_started=has_started) or (self._context.trusts_ids and is_of_another)

    def _take_back(self, unawaited: Sequence[Tracked], rows: Mapping[str, compat.TaskRow]) -> None:
        context = self._context
        reasons = [_reason(tracked, rows.get(tracked.workload_id)) for tracked in unawaited]
        changes = [
            Change(
                attempt=tracked.attempt,
                to=State.REVOKED,
                sources=_NOT_STARTED,
                raises_generation=True,
                delete_pod=True,
                fields={"reason": reason, "category": "unawaited"},
            )
            for tracked, reason in zip(unawaited, reasons, strict=True)
        ]
        claims = context.store.attempts.advance_all(changes) if changes else []
        for tracked, reason, claim in zip(unawaited, reasons, claims, strict=True):
            if not claim.is_granted:
                context.pending.to_read.add(tracked.attempt)
                continue
            log.info("Attempt %s does not start: %s", tracked.attempt, reason)
            if tracked.pool == "celery":
                context.pending.left_queues.add(tracked.queue)
            context.settle(tracked, State.REVOKED, reason)
            context.metrics.count(metric.REPAIRED, repair="revoked_unawaited")


def _reason(tracked: Tracked, row: compat.TaskRow | None) -> str:
    if row is None:
        return "Airflow does not have its task instance, or this try of it, any more"
    if row.state in compat.UNAWAITED:
        return f"Airflow does not wait for it any more: its task instance is {row.state or 'not queued'}"
    return f"Airflow waits for a newer attempt of its task instance, {row.attempt}"
