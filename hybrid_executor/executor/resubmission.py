"""Submitting attempts once more: with fresh tokens, and only as far as Airflow still has their tasks queued."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.submission import make_work, publish, why_not
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Record, Submission

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteTask

log = logging.getLogger(__name__)


class Resubmission:
    """Submits attempts of one scheduler again. May be repeated: a record that has moved on is left alone."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def submit(
        self,
        again: Mapping[AttemptId, Tracked],
        known: Mapping[AttemptId, Record],
        *,
        keep: Collection[AttemptId] = (),
    ) -> list[Tracked]:
        """Submit attempts again. One whose workload cannot be made fails alone, with the reason.

        :param known: their records, as far as there are any.
        :param keep: those that are not to be let go where Airflow has their task not queued any more.
        :return: the ones that were kept so.
        """
        if not again:
            return []
        workloads = self._desk.make_workloads([t.task_id for t in again.values() if t.kind == "task"])
        kept = [t for t in again.values() if t.task_id not in workloads and t.attempt in keep]
        gone = [t for t in again.values() if t.task_id not in workloads and t.attempt not in keep]
        works: list[Work] = []
        submissions: list[Submission] = []
        for tracked in again.values():
            if tracked.task_id not in workloads:
                continue
            try:
                work = self._make_work(tracked, workloads[tracked.task_id], known.get(tracked.attempt))
                submissions.append(self._desk.pool_of(work).prepare(work))
                works.append(work)
            except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
                self._desk.fail(tracked, why_not(error, tracked.key))
        generations = self._desk.store.attempts.submit(submissions)
        for submission, generation in zip(submissions, generations, strict=True):
            self._note(again[submission.attempt], submission, generation)
        for pool in self._desk.pools.values():
            publish(self._desk, pool, [work for work in works if self._desk.pool_of(work) is pool])
        for tracked in gone:
            self._let_go(tracked)
        return kept

    def _make_work(self, tracked: Tracked, workload: ExecuteTask | Exception, record: Record | None) -> Work:
        if isinstance(workload, Exception):
            raise workload
        generation = record.generation if record else 0
        return make_work(
            self._desk, compat.read_workload(workload), attempt=tracked.attempt, expected_generation=generation
        )

    def _note(self, tracked: Tracked, submission: Submission, generation: int) -> None:
        if generation < 0:
            self._desk.fail(tracked, self._desk.store.attempts.explain(submission, generation))
        elif generation:
            tracked.state, tracked.generation, tracked.holder = State.SUBMITTED, generation, ""
            tracked.since = time.monotonic()
            log.info("Submitted attempt %s again", tracked.attempt)

    def _let_go(self, tracked: Tracked) -> None:
        """End an attempt that can be submitted no more; a task that Airflow still waits for would have been found."""
        reason = "Airflow no longer waits for it" if tracked.kind == "task" else "It was lost before it started"
        log.info("Letting attempt %s go: %s", tracked.attempt, reason)
        self._desk.store.attempts.revoke([tracked.attempt], reason=reason)
        self._desk.settle(tracked, State.REVOKED if tracked.kind == "task" else State.FAILED, reason)
