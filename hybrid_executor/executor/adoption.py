"""Taking over the attempts of a scheduler that died: one bulk read and one change of owner, no Kubernetes call.

Airflow asks while it holds the task instances' rows locked, possibly twice. So the database is read on a session of
our own, and an adoption may be repeated. Where Redis or the database cannot be asked, nothing is known and nothing is
given back: the attempts stay in ``Pending.to_adopt`` until they have been looked up.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.pending import Repair
from hybrid_executor.executor.revocation import TAKEN_BACK
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Record
from hybrid_executor.targets import Target, target_name

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

log = logging.getLogger(__name__)


def adopt(context: Context, tis: Sequence[TaskInstance]) -> list[TaskInstance]:
    """Take over what can be; return the task instances that cannot, for Airflow to reset.

    A task instance without a record is given back at once, unless its task process sends heartbeats: then it runs, and
    Airflow's own heartbeat check looks after it. So is one whose attempt was taken back for Airflow already.
    """
    with _without_collector():
        return _adopt(context, tis)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect no garbage meanwhile. Thousands of records set it off again and again, and it reads the whole heap."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _adopt(context: Context, tis: Sequence[TaskInstance]) -> list[TaskInstance]:
    given_back = [ti for ti in tis if not ti.external_executor_id]
    asked = {str(ti.id): ti for ti in tis if ti.external_executor_id}
    attempts = {workload_id: AttemptId(ti.external_executor_id or "") for workload_id, ti in asked.items()}
    to_adopt = context.pending.to_adopt
    to_adopt.update(attempts)
    _supersede_older(context, attempts)
    try:
        rows = compat.read_tasks(asked)
        records = _take_over(context, list(attempts.values()))
        now = _server_time(context, records)
    except StoreUnavailable:
        log.warning("Redis unavailable: %s adopted task instances will be looked up later", len(attempts))
        return given_back
    except Exception:  # noqa: BLE001 - raising here would end the scheduler while it holds row locks
        log.exception("%s adopted task instances could not be looked up; trying again", len(attempts))
        return given_back
    for workload_id, ti in asked.items():
        row, record = rows.get(workload_id), records.get(attempts[workload_id])
        if row is not None and record is not None and _was_taken_back(row, record):
            given_back.append(ti)
        elif row is not None and record is not None:
            try:
                _remember(context, row, record, now=now)
            except Exception:  # noqa: BLE001 - one attempt must not keep the others from being adopted
                log.exception("Attempt %s could not be adopted; trying again", record.id)
                continue
        elif row is None or not row.is_beating(context.settings.worker_lost_after_seconds):
            given_back.append(ti)
        del to_adopt[workload_id]
    log.info("Adopted %s task instances and gave %s back", len(tis) - len(given_back), len(given_back))
    return given_back


def _supersede_older(context: Context, attempts: Mapping[str, AttemptId]) -> None:
    """Let nobody hear of older attempts of these tasks, whether or not the present ones can be looked up.

    Such an attempt may be known still, if Redis has lost its end: a deferred task's, which another scheduler resumed.
    """
    for tracked in context.ledger:
        attempt = attempts.get(tracked.workload_id) if tracked.kind == "task" else None
        if attempt not in (None, tracked.attempt) and not tracked.is_superseded:
            context.supersede(tracked)


def resume_adoption(context: Context) -> None:
    """Look up what could not be looked up before. It cannot be given back any more: what waits is submitted again.

    A running task without a record is left to Airflow's own heartbeat check. Airflow may have rolled its adoption back
    since, and another scheduler may have adopted the task: then nothing is taken over here.

    :raises StoreUnavailable: Redis could not be asked; nothing is forgotten.
    :raises Exception: an attempt could not be adopted. The others have been; this one is looked up again.
    """
    failure: Exception | None = None
    to_adopt = context.pending.to_adopt
    rows = compat.read_tasks(to_adopt)
    for workload_id, attempt in list(to_adopt.items()):
        row = rows.get(workload_id)
        if row is None or row.attempt != attempt or row.queued_by not in ("", context.owner):
            del to_adopt[workload_id]
    records = _take_over(context, list(to_adopt.values()))
    now = _server_time(context, records)
    for workload_id, attempt in list(to_adopt.items()):
        row, record = rows[workload_id], records.get(attempt)
        if record is not None:
            try:
                _remember(context, row, record, now=now)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one attempt must not keep the others from being adopted
                failure = error
                continue
        elif row.state == "queued" and (target := _first_target(context, row)) is not None:
            context.track(_tracked(context, row, _unrecorded(row, target), now=0))
            context.pending.repairs.add(Repair.COMPARE_ALL)  # finds that it has no record
        del to_adopt[workload_id]
    if failure is not None:
        raise failure


def follow(context: Context, ended: Sequence[tuple[compat.TaskRow, Record]]) -> None:
    """Take over attempts whose task has ended, or has a newer attempt: nobody is told how they end.

    :raises StoreUnavailable: Redis could not be asked.
    """
    records = _take_over(context, [record.id for _, record in ended])
    for row, known in ended:
        record = records.get(known.id)
        if record is not None and not record.state.is_terminal:
            tracked = _tracked(context, row, record, now=0)
            tracked.is_superseded = True
            context.ledger.add(tracked)
            context.apply_record(tracked, record, is_new_start=False)


def _unrecorded(row: compat.TaskRow, target: Target) -> Record:
    """Return what the record of a waiting task would be, had Redis not lost it."""
    attempt = AttemptId(row.attempt)
    return Record(id=attempt, state=State.SUBMITTED, generation=0, pool=target.pool, profile=target.profile)


def _first_target(context: Context, row: compat.TaskRow) -> Target | None:
    """Return the first target of a task's route whose attempts have records."""
    targets = context.settings.routes.find(row.queue).targets
    return next((target for target in targets if target.pool in context.pools), None)


def _take_over(context: Context, attempts: list[AttemptId]) -> dict[AttemptId, Record]:
    with context.outage.watch():
        records = context.store.attempts.adopt(attempts, owner=context.owner)
    return {record.id: record for record in records if record is not None}


def _was_taken_back(row: compat.TaskRow, record: Record) -> bool:
    """Return whether a scheduler has taken an attempt back, and died before Airflow noted that its task waits anew."""
    return row.state == "queued" and row.attempt == record.id and record.category == TAKEN_BACK


def _server_time(context: Context, records: Mapping[AttemptId, Record]) -> int:
    """Return the time by the clock of the records; 0 where none has a time to compare it with."""
    if not any(record.placed_at for record in records.values()):
        return 0
    with context.outage.watch():
        return context.store.view.now()


def _remember(context: Context, row: compat.TaskRow, record: Record, *, now: int) -> None:
    """Track one attempt from now on. May be repeated."""
    tracked = _tracked(context, row, record, now=now)
    if context.ledger.get(record.id) is None:
        context.metrics.count(metric.ADOPTED)
    context.track(tracked)
    if record.trouble:
        context.fail(tracked, record.trouble)
    else:
        context.apply_record(tracked, record, is_new_start=False)


def _tracked(context: Context, row: compat.TaskRow, record: Record, *, now: int) -> Tracked:
    waited_seconds = max(0, now - record.placed_at) / 1000 if now and record.placed_at else 0.0
    return Tracked(
        attempt=record.id,
        key=compat.task_key(row),
        kind="task",
        workload_id=row.id,
        pool=record.pool,
        queue=record.queue or row.queue,
        state=State.SUBMITTED,
        generation=0,
        since=context.clock(),
        target=record.target or target_name(record.pool, record.profile),
        profile=record.profile,
        placed_since=context.clock() - waited_seconds,
        leaving=record.leaving,
        try_number=row.try_number,
    )
