"""What an attempt that has not started waits for, in words. Pure."""

from __future__ import annotations

from hybrid_executor.states import State
from hybrid_executor.store import Record

STUCK_EVENT = "hybrid executor: stuck in queued"
"""An event of the audit log. The scheduler's own event says only for how long a task was queued."""


def waited_for(record: Record | None) -> str:
    """Return what an attempt waited for when Airflow took it back, "" for one that had started or ended.

    :param record: None where Redis has no record of the attempt.
    """
    if record is None:
        return "The executor has no record of this attempt, so nothing was going to start it."
    if record.state.is_started:
        return ""
    if record.note:
        return record.note
    if record.pool != "kubernetes":
        if record.received_by:
            return f"Worker {record.received_by} took it from queue {record.queue!r} and had not started it."
        return f"No worker took it from queue {record.queue!r}: 'airflow hybrid workers' shows which queues are served."
    if record.state is State.PENDING:
        return f"Its pod {record.pod} in namespace {record.namespace} had not started; nothing said why."
    return (
        f"No pod was created for it in cluster {record.cluster!r}: 'airflow hybrid status' shows whether an agent runs."
    )
