"""What waits in a scheduler that was stopped for some time: another one may have queued its tasks again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.executors.workloads import ExecuteTask

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload, WorkloadKey

log = logging.getLogger(__name__)

_COMPLAINT = "still queued"
_SILENT_SECONDS = 10.0  # less than the 30 s after which Airflow takes a scheduler for dead


def still_queued(
    context: Context, waiting: list[tuple[WorkloadKey, AirflowWorkload]]
) -> list[tuple[WorkloadKey, AirflowWorkload]]:
    """Return which of the waiting workloads are to be submitted; forget those that Airflow does not wait for any more.

    The database is asked only where this scheduler was stopped, or without Redis, for some time: another one may have
    queued the tasks again. Until it has answered, nothing is submitted.
    """
    _look_at_clock(context)
    if not waiting or not context.is_late or not context.outage.may_ask():
        return waiting
    ids = {key: str(workload.ti.id) for key, workload in waiting if isinstance(workload, ExecuteTask)}
    try:
        rows = compat.read_tasks(ids.values())
    except Exception as error:  # noqa: BLE001 - what runs is taken in all the same
        words = "What waits is not submitted: Airflow's database does not tell whether it is still queued: %s"
        cause = type(error).__qualname__
        context.complaints.report(_COMPLAINT, words, error, cause=cause, level=logging.ERROR)
        return []
    context.complaints.settle(_COMPLAINT, "What waits is submitted again", level=logging.WARNING)
    context.is_late = False
    kept = []
    for key, workload in waiting:
        row = rows.get(ids.get(key, ""))
        if key not in ids or (row is not None and row.state == "queued" and _is_of(context, row, workload)):
            kept.append((key, workload))
            continue
        log.warning("%s is not submitted: Airflow does not wait for this attempt any more", key)
        made = context.pending.made_ids.pop(key, None)
        attempt = AttemptId(_given(workload) or made or "")
        if attempt and (row is None or row.attempt not in ("", attempt)):
            # It may be submitted all the same, if only the answer was lost: then nobody would know of it.
            context.pending.to_revoke.add(attempt)
        context.reports.taken(key)
    return kept


def _given(workload: Any) -> str:
    return workload.ti.external_executor_id or ""


def _is_of(context: Context, row: compat.TaskRow, workload: Any) -> bool:
    given = _given(workload)
    return not context.trusts_ids or not given or row.attempt in ("", given)


def note_turn(context: Context) -> None:
    """Note that a loop in which Redis could be asked has ended. The scheduler may have been stopped in its middle."""
    _look_at_clock(context)
    context.turned_at = context.clock()


def _look_at_clock(context: Context) -> None:
    context.is_late = context.is_late or context.clock() - context.turned_at > _SILENT_SECONDS
