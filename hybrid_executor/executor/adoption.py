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
    Where Redis or the database cannot be asked nothing is known, so nothing is given back; the question is asked again
    by :meth:`resume` until it is answered.
    """

    def __init__(self, desk: Desk, intake: Intake, track: Callable[[Tracked], None]) -> None:
        self._desk = desk
        self._intake = intake
        self._track = track
        self._unanswered: dict[str, AttemptId] = {}

    @property
    def expected(self) -> set[AttemptId]:
        """The attempts that are still to be looked up."""
        return set(self._unanswered.values())

    def adopt(self, tis: Sequence[Any]) -> list[Any]:
        """Take over what can be; return the task instances that cannot, for Airflow to reset.

        Those without a record are given back at once, unless their task process sends heartbeats: it runs, whoever
        knows of it, and Airflow's own heartbeat check looks after it.
        """
        given_back = [ti for ti in tis if not ti.external_executor_id]
        asked = {str(ti.id): ti for ti in tis if ti.external_executor_id}
        attempts = {task_id: AttemptId(ti.external_executor_id) for task_id, ti in asked.items()}
        self._unanswered.update(attempts)
        try:
            rows = compat.read_tasks(asked)
            records = self._take_over(list(attempts.values()))
        except StoreUnavailable:
            log.warning("Redis is away: %s adopted task instances are looked up when it is back", len(attempts))
            return given_back
        except Exception:  # noqa: BLE001 - raising here would end the scheduler while it holds row locks
            log.exception("%s adopted task instances could not be looked up; trying again", len(attempts))
            return given_back
        for task_id, ti in asked.items():
            row, record = rows.get(task_id), records.get(attempts[task_id])
            if row is not None and record is not None:
                if not self._remember(row, record):
                    continue
            elif row is None or not row.is_beating(self._desk.settings.worker_lost_after_seconds):
                given_back.append(ti)
            del self._unanswered[task_id]
        log.info("Adopted %s task instances and gave %s back", len(tis) - len(given_back), len(given_back))
        return given_back

    def resume(self) -> None:
        """Look up what could not be asked; what has no record is left to Airflow's own time-outs.

        :raises StoreUnavailable: Redis could not be asked; nothing is forgotten.
        """
        if not self._unanswered:
            return
        rows = compat.read_tasks(self._unanswered)
        records = self._take_over(list(self._unanswered.values()))
        for task_id, attempt in list(self._unanswered.items()):
            row, record = rows.get(task_id), records.get(attempt)
            is_ours = row is not None and record is not None and row.attempt == attempt
            if row is None or record is None or not is_ours or self._remember(row, record):
                del self._unanswered[task_id]

    def _take_over(self, attempts: list[AttemptId]) -> dict[AttemptId, Record]:
        with self._desk.outage.watch():
            records = self._desk.store.attempts.adopt(attempts, owner=self._desk.owner)
        return {record.id: record for record in records if record is not None}

    def _remember(self, row: compat.TaskRow, record: Record) -> bool:
        """Answer for one attempt from now on; return False where that fails, which keeps no other from it."""
        try:
            tracked = self._tracked(row, record)
            self._track(tracked)
            if record.trouble:
                self._desk.fail(tracked, record.trouble)
            else:
                self._intake.apply_record(tracked, record)
        except Exception:  # noqa: BLE001 - one attempt must not keep the others from being adopted
            log.exception("Attempt %s could not be adopted; trying again", record.id)
            return False
        return True

    def _tracked(self, row: compat.TaskRow, record: Record) -> Tracked:
        return Tracked(
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
