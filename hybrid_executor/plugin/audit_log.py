"""Reads from Airflow's audit log why an attempt failed. Needs only Airflow's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_OURS = "hybrid executor: "
# Events that the scheduler itself writes when it ends an attempt.
_SCHEDULERS = ("stuck in queued reschedule", "stuck in queued tries exceeded", "heartbeat timeout")
_MISMATCH = "state mismatch"
_MOST_ROWS = 50
_ENDED_BADLY = ("failed", "up_for_retry")

EXPIRED = (
    "This attempt ended before its task started, so there is no log. Airflow's audit log no longer has the reason: "
    "'airflow db clean' deletes its rows. The scheduler's own log may still have it."
)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try of one task instance. ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text about an attempt.

    :ivar at: when it happened, in ISO 8601; ``None`` if unknown.
    """

    text: str
    at: str | None = None
    level: str = "error"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended.

    :ivar has_started: its task ran, so it may have written a log.
    """

    words: Sequence[Words]
    has_started: bool


def read_ending(attempt: Attempt) -> Ending | None:
    """Return why an attempt failed; ``None`` if it did not fail, or if only its own log has the reason."""
    from airflow.models.log import Log
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import or_, select

    from hybrid_executor.compat import own_session

    names = ("dag_id", "run_id", "task_id", "map_index")
    with own_session() as session:
        task: Any = None
        for model in (TaskInstance, TaskInstanceHistory):
            columns: Any = model
            query = select(columns.state, columns.start_date, columns.queued_dttm).where(
                *(getattr(columns, name) == getattr(attempt, name) for name in (*names, "try_number"))
            )
            # A cleared task has no state until it is queued again; its old state is in the history.
            if task is None or task.state is None:
                task = session.execute(query).first() or task
        if task is None or str(getattr(task.state, "value", task.state)) not in _ENDED_BADLY:
            return None
        rows = session.execute(
            select(Log.event, Log.extra, Log.dttm)
            .where(
                *(getattr(Log, name) == getattr(attempt, name) for name in names),
                or_(Log.try_number == attempt.try_number, Log.try_number.is_(None)),
            )
            .order_by(Log.id)
            .limit(_MOST_ROWS)
        ).all()
    return judge(rows, queued_at=task.queued_dttm, started_at=task.start_date)


def judge(rows: Sequence[Any], *, queued_at: Any, started_at: Any) -> Ending | None:
    """Return the end of a failed attempt from rows of the audit log (``event``, ``extra``, ``dttm``).

    :param queued_at: when it was queued; ``None`` if it was not.
    :param started_at: when its task, or that of an earlier try, started; ``None`` if none did.
    """
    has_started = started_at is not None and (queued_at is None or started_at >= queued_at)
    told = [row for row in rows if row.event.startswith(_OURS) or row.event in _SCHEDULERS]
    told = told or [row for row in rows if row.event == _MISMATCH]
    words = [
        Words(
            text=f"{row.event.removeprefix(_OURS).capitalize()}: {row.extra or 'no reason was given'}",
            at=row.dttm.isoformat() if row.dttm else None,
        )
        for row in told
    ]
    if not words and not rows and not has_started and queued_at is not None:
        words = [Words(text=EXPIRED, level="warning")]
    return Ending(words=words, has_started=has_started) if words else None
