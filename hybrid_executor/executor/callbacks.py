"""Callbacks of schedulers that are gone.

Airflow asks nobody to adopt callbacks: what a dead scheduler had given to its executor stays queued or running in
Airflow's database for ever. So another scheduler of the same executor, or the next one, follows them to their end. An
attempt of a callback has the callback's id, so that it is found without the scheduler that made it.
"""

from __future__ import annotations

import logging

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.states import State
from hybrid_executor.store import Record
from hybrid_executor.targets import target_name

log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0
_TOLD_SECONDS = 20.0
"""A living scheduler tells Airflow of an end well within this time."""


class Callbacks:
    """Looks for such callbacks when this scheduler starts and after another one has fallen silent."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._dead: frozenset[str] = frozenset()
        self._until = context.clock() + _LOOK_SECONDS

    def follow(self) -> None:
        """Tell Airflow of ends that it does not know, and answer for what still waits or runs.

        :raises StoreUnavailable: Redis could not be asked.
        """
        context = self._context
        members = context.store.presence.members("scheduler")
        dead = frozenset(member.name for member in members if not member.is_alive)
        if dead - self._dead:
            self._until = context.clock() + _LOOK_SECONDS
        self._dead = dead
        if context.clock() >= self._until or not context.outage.can_tell_silence(_TOLD_SECONDS):
            return
        alive = {context.owner, *(member.name for member in members if member.is_alive)}
        for record in self._unfinished():
            if record.state.is_terminal:
                self._tell(record)
            elif record.owner not in alive and not record.trouble:
                self._take_over(record)

    def _unfinished(self) -> list[Record]:
        """Return the records of callbacks that Airflow waits for and that this scheduler does not know."""
        context, share = self._context, self._context.settings.share
        rows = [row for row in compat.read_unfinished_callbacks() if context.ledger.get(AttemptId(row.id)) is None]
        # The records are in the Redis of a team, which may write there what it wants about the callbacks of others.
        ours = [
            row for row in rows if share is None or share.may_get(compat.team_of_dag(row.dag_id), executor=row.executor)
        ]
        records = context.store.attempts.records([AttemptId(row.id) for row in ours]) if ours else []
        return [record for record in records if record is not None and record.kind == "callback"]

    def _tell(self, record: Record) -> None:
        context = self._context
        if (context.store.view.now() - record.ended_at) / 1000 >= _TOLD_SECONDS:
            context.reports.changed(self._tracked(record), record.state, record.reason)
            log.info("Told Airflow how %s has ended: the scheduler that answered for it is gone", record.name)

    def _take_over(self, record: Record) -> None:
        context = self._context
        [adopted] = context.store.attempts.adopt([record.id], owner=context.owner)
        if adopted is None:
            return
        tracked = self._tracked(adopted)
        context.track(tracked)
        context.apply_record(tracked, adopted, is_new_start=False)
        log.info("Answering for %s from now on: its scheduler is gone", record.name)

    def _tracked(self, record: Record) -> Tracked:
        return Tracked(
            attempt=record.id,
            key=compat.callback_key(record.id),
            kind="callback",
            workload_id=record.id,
            pool=record.pool,
            queue=record.queue,
            state=State.SUBMITTED,
            generation=0,
            since=self._context.clock(),
            target=record.target or target_name(record.pool, record.profile),
            profile=record.profile,
            placed_since=self._context.clock(),
            leaving=record.leaving,
        )
