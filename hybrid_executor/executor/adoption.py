"""Taking over the attempts of a scheduler that died: one bulk read, one change of owner, no API call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.intake import Intake
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.states import State
from hybrid_executor.store import Record

log = logging.getLogger(__name__)


class Adoption:
    """Answers for task instances whose scheduler died.

    Called while Airflow holds their rows locked, possibly twice: reads with a session of its own and may be repeated.
    With Redis away nothing is known, so nothing is given back; the question is asked again by :meth:`resume`.
    """

    def __init__(self, desk: Desk, intake: Intake, track: Callable[[Tracked], None]) -> None:
        self._desk = desk
        self._intake = intake
        self._track = track
        self._unanswered: dict[str, AttemptId] = {}

    def adopt(self, tis: Sequence[Any]) -> list[Any]:
        """Take over what can be; return the task instances that cannot, for Airflow to reset.

        Those without a record are given back at once, unless their task process sends heartbeats: it runs, whoever
        knows of it, and Airflow's own heartbeat check looks after it.
        """
        given_back = [ti for ti in tis if not ti.external_executor_id]
        asked = {str(ti.id): ti for ti in tis if ti.external_executor_id}
        rows = compat.read_tasks(asked)
        attempts = {task_id: AttemptId(ti.external_executor_id) for task_id, ti in asked.items()}
        try:
            records = self._take_over(list(attempts.values()))
        except StoreUnavailable:
            self._unanswered.update(attempts)
            log.warning("Redis is away: %s adopted task instances are looked up when it is back", len(attempts))
            return given_back
        for task_id, ti in asked.items():
            row, record = rows.get(task_id), records.get(attempts[task_id])
            if row is not None and record is not None:
                self._remember(row, record)
            elif row is None or not row.is_beating(self._desk.settings.worker_lost_after_seconds):
                given_back.append(ti)
        log.info("Adopted %s task instances and gave %s back", len(tis) - len(given_back), len(given_back))
        return given_back

    def resume(self) -> None:
        """Look up what could not be asked; what has no record is left to Airflow's own time-outs."""
        if not self._unanswered:
            return
        records = self._take_over(list(self._unanswered.values()))
        rows = compat.read_tasks(self._unanswered)
        for task_id, attempt in list(self._unanswered.items()):
            row, record = rows.get(task_id), records.get(attempt)
            if row is not None and record is not None and row.attempt == attempt:
                self._remember(row, record)
            del self._unanswered[task_id]

    def _take_over(self, attempts: list[AttemptId]) -> dict[AttemptId, Record]:
        with self._desk.outage.watch():
            records = self._desk.store.attempts.adopt(attempts, owner=self._desk.owner)
        return {record.id: record for record in records if record is not None}

    def _remember(self, row: compat.TaskRow, record: Record) -> None:
        tracked = Tracked(
            attempt=record.id,
            key=compat.task_key(row),
            kind="task",
            task_id=row.id,
            pool=record.pool,
            queue=record.queue or row.queue,
            state=State.SUBMITTED,
            generation=0,
            since=time.monotonic(),
        )
        self._track(tracked)
        self._intake.apply_record(tracked, record)
