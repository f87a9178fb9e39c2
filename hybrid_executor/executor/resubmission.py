"""Submitting attempts again: with new tokens, and only where Airflow still has their tasks queued."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.submission import make_work, publish, why_not
from hybrid_executor.metrics import table as metric
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Record, Submission

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteTask

log = logging.getLogger(__name__)


def submit_again(
    context: Context,
    again: Mapping[AttemptId, Tracked],
    known: Mapping[AttemptId, Record],
    *,
    keep: Collection[AttemptId] = (),
) -> list[Tracked]:
    """Submit attempts again. One whose workload cannot be made fails alone, with the reason.

    May be repeated: an attempt whose record has changed in between is left alone.

    :param known: their records, as far as there are any.
    :param keep: those that are not to be ended where Airflow does not have their task queued any more.
    :return: the ones that were kept so.
    """
    if not again:
        return []
    workloads = _queued_workloads(context, again.values())
    kept = [t for t in again.values() if t.attempt not in workloads and t.attempt in keep]
    ended = [t for t in again.values() if t.attempt not in workloads and t.attempt not in keep]
    works: list[Work] = []
    submissions: list[Submission] = []
    for tracked in again.values():
        if tracked.attempt not in workloads:
            continue
        try:
            work = _make_work(context, tracked, workloads[tracked.attempt], known.get(tracked.attempt))
            submissions.append(context.pool_of(work).prepare(work))
            works.append(work)
        except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
            context.fail(tracked, why_not(error, tracked.key))
    generations = context.store.attempts.submit(submissions)
    for submission, generation in zip(submissions, generations, strict=True):
        _note(context, again[submission.attempt], submission, generation)
    for pool in context.pools.values():
        publish(context, pool, [work for work in works if context.pool_of(work) is pool])
    for tracked in ended:
        end(context, tracked)
    return kept


def _queued_workloads(context: Context, attempts: Collection[Tracked]) -> dict[AttemptId, ExecuteTask | Exception]:
    """Return new workloads for the attempts that Airflow has queued now.

    A task that is queued as another attempt belongs to that one: a deferred task, for example, that has been resumed.
    """
    made = context.make_workloads([t.workload_id for t in attempts if t.kind == "task"])
    found = {t.attempt: made[t.workload_id] for t in attempts if t.workload_id in made}
    return {attempt: workload for attempt, workload in found.items() if not _is_of_another(context, attempt, workload)}


def _is_of_another(context: Context, attempt: AttemptId, workload: ExecuteTask | Exception) -> bool:
    if isinstance(workload, Exception) or not context.trusts_ids:
        return False
    return workload.ti.external_executor_id not in (None, "", attempt)


def _make_work(context: Context, tracked: Tracked, workload: ExecuteTask | Exception, record: Record | None) -> Work:
    if isinstance(workload, Exception):
        raise workload
    generation = record.generation if record else 0
    return make_work(context, compat.read_workload(workload), attempt=tracked.attempt, expected_generation=generation)


def _note(context: Context, tracked: Tracked, submission: Submission, generation: int) -> None:
    if generation < 0:
        context.fail(tracked, context.store.attempts.explain(submission, generation))
    elif generation:
        tracked.state, tracked.generation, tracked.holder = State.SUBMITTED, generation, ""
        tracked.since = context.clock()
        log.info("Submitted attempt %s again", tracked.attempt)
        context.metrics.count(metric.REPAIRED, repair="submitted_again")


def end(context: Context, tracked: Tracked) -> None:
    """End an attempt that cannot be submitted again; a task that Airflow still waits for would have been found."""
    reason = "Airflow no longer waits for it" if tracked.kind == "task" else "It was lost before it started"
    log.info("Attempt %s is not submitted again: %s", tracked.attempt, reason)
    context.store.attempts.revoke([tracked.attempt], reason=reason)
    context.settle(tracked, State.REVOKED if tracked.kind == "task" else State.FAILED, reason)
