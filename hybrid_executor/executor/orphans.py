"""Attempts of dead schedulers whose task has ended: Airflow asks nobody to adopt them, and their records must end."""

from __future__ import annotations

import logging

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor import adoption
from hybrid_executor.executor.context import Context
from hybrid_executor.store import Record

log = logging.getLogger(__name__)

_QUIET_SECONDS = 20.0  # twice the time between two announcements of a scheduler


class Orphans:
    """Looks at a part of all live attempts each time; may be repeated at any time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cursors: dict[str, int] = {}

    def take_over(self) -> None:
        """Follow what no living scheduler and no task of Airflow's waits for to its end, and tell nobody of it.

        :raises StoreUnavailable: Redis could not be asked.
        """
        context = self._context
        if not context.outage.can_tell_silence(_QUIET_SECONDS):
            return
        found: list[AttemptId] = []
        for pool in context.pools:
            self._cursors[pool], page = context.store.census.page(pool, cursor=self._cursors.get(pool, 0))
            attempts = [AttemptId(live.id) for live in page]
            found += [attempt for attempt in attempts if context.ledger.get(attempt) is None]
        records = [record for record in context.store.attempts.records(found) if record is not None and _waits(record)]
        if not records:
            return
        alive = {member.name for member in context.store.presence.members("scheduler") if member.is_alive}
        orphans = [record for record in records if record.owner not in alive | {context.owner}]
        rows = compat.read_tasks(record.key for record in orphans) if orphans else {}
        ended = [record for record in orphans if _has_ended(record, rows.get(record.key))]
        adoption.follow(context, [(rows[record.key], record) for record in ended if record.key in rows])
        gone = [record.id for record in ended if record.key not in rows]
        context.store.attempts.revoke(gone, reason="Its task does not exist any more, and its scheduler is gone")
        if ended:
            log.info("%s attempts of dead schedulers, whose tasks have ended, are followed to their end", len(ended))


def _waits(record: Record) -> bool:
    return record.kind == "task" and not record.state.is_terminal and not record.trouble


def _has_ended(record: Record, row: compat.TaskRow | None) -> bool:
    return row is None or row.attempt != record.id or row.state not in compat.UNFINISHED
