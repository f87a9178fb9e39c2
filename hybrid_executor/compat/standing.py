"""How tasks and schedulers stand by Airflow's database and by Airflow's own rules. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hybrid_executor.hiding import hide_secrets

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_OURS = "hybrid executor: "
_SCHEDULERS_EVENTS = ("stuck in queued reschedule", "stuck in queued tries exceeded", "heartbeat timeout")
_MISMATCH = "state mismatch"
_MOST_AUDIT_ROWS = 50
_REMEMBERED_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class SchedulerRow:
    """One scheduler by Airflow's table of jobs.

    :ivar heartbeat_age: seconds since its last heartbeat; ``None`` if it never had one.
    """

    job_id: str
    hostname: str
    state: str
    is_alive: bool
    heartbeat_age: float | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One task instance by Airflow's database. Times are seconds since the epoch, 0 for a moment that has not come.

    :ivar state: "" for none.
    :ivar attempts: ids of this and earlier tries' attempts, the newest first.
    :ivar job: the scheduler job that queued it, "" for none.
    :ivar executor: the executor that the task names, "" for the default one.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    state: str
    try_number: int
    queue: str
    pool: str
    pool_slots: int
    attempts: tuple[str, ...] = ()
    job: str = ""
    executor: str = ""
    queued_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    heartbeat_at: float = 0.0
    run_state: str = ""


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """A row of Airflow's audit log about a task instance that an executor or a scheduler has written.

    :ivar at: seconds since the epoch.
    :ivar try_number: 0 if the row names none.
    """

    at: float
    event: str
    text: str
    try_number: int


@dataclass(frozen=True, kw_only=True)
class QueuedCount:
    """How many task instances Airflow has in the state queued, by queue.

    :ivar oldest_at: when the first of them was queued, in seconds since the epoch; 0 if unknown.
    """

    queue: str
    count: int
    oldest_at: float


def read_schedulers(session: Session) -> list[SchedulerRow]:
    """Return the schedulers that run, and those that stopped sending heartbeats in the last hour without an end."""
    from airflow.jobs.job import Job
    from sqlalchemy import select

    now = datetime.now(timezone.utc)
    rows = []
    query = select(Job).where(Job.job_type == "SchedulerJob", Job.state == "running").order_by(Job.id)
    for job in session.scalars(query):
        age = (now - job.latest_heartbeat).total_seconds() if job.latest_heartbeat else None
        is_alive = bool(job.is_alive())
        if is_alive or age is None or age < _REMEMBERED_SECONDS:
            rows.append(
                SchedulerRow(
                    job_id=str(job.id),
                    hostname=job.hostname or "",
                    state=str(getattr(job.state, "value", job.state) or ""),
                    is_alive=is_alive,
                    heartbeat_age=max(0.0, age) if age is not None else None,
                )
            )
    return rows


def count_queued_tasks(session: Session) -> list[QueuedCount]:
    """Return how many task instances are queued, by queue."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import func, select

    query = (
        select(TaskInstance.queue, func.count(), func.min(TaskInstance.queued_dttm))
        .where(TaskInstance.state == TaskInstanceState.QUEUED)
        .group_by(TaskInstance.queue)
        .order_by(TaskInstance.queue)
    )
    return [
        QueuedCount(queue=queue or "", count=int(count), oldest_at=_seconds(oldest))
        for queue, count, oldest in session.execute(query)
    ]


def read_standings(
    session: Session, *, dag_id: str, task_id: str, run_id: str | None = None, map_index: int | None = None
) -> list[Standing]:
    """Return a task's instances in one run, by map index; none if there is no such task instance.

    :param run_id: the newest run that has the task if ``None``.
    :param map_index: all if ``None``.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import select

    of_task = (TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id)
    run = select(DagRun.run_id, DagRun.state).where(DagRun.dag_id == dag_id)
    if run_id is None:
        run = run.join(TaskInstance, (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id))
        run = run.where(TaskInstance.task_id == task_id).order_by(DagRun.run_after.desc(), DagRun.id.desc()).limit(1)
    else:
        run = run.where(DagRun.run_id == run_id)
    found_run = session.execute(run).first()
    if found_run is None:
        return []
    query = select(TaskInstance).where(*of_task, TaskInstance.run_id == found_run.run_id)
    if map_index is not None:
        query = query.where(TaskInstance.map_index == map_index)
    tasks = session.scalars(query.order_by(TaskInstance.map_index)).all()
    history = TaskInstanceHistory
    earlier = session.execute(
        select(history.map_index, history.external_executor_id)
        .where(history.dag_id == dag_id, history.task_id == task_id, history.run_id == found_run.run_id)
        .order_by(history.try_number.desc())
    ).all()
    run_state = _text(found_run.state)
    return [_standing(ti, [row[1] for row in earlier if row[0] == ti.map_index], run_state) for ti in tasks]


def _standing(ti: Any, earlier: Iterable[str | None], run_state: str) -> Standing:
    attempts = dict.fromkeys(attempt for attempt in (ti.external_executor_id, *earlier) if attempt)
    return Standing(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=ti.map_index,
        state=_text(ti.state),
        try_number=ti.try_number,
        queue=ti.queue or "",
        pool=ti.pool or "",
        pool_slots=ti.pool_slots or 0,
        attempts=tuple(attempts),
        job=str(ti.queued_by_job_id or ""),
        executor=ti.executor or "",
        queued_at=_seconds(ti.queued_dttm),
        started_at=_seconds(ti.start_date),
        ended_at=_seconds(ti.end_date),
        heartbeat_at=_seconds(ti.last_heartbeat_at),
        run_state=run_state,
    )


def unmet_dependencies(session: Session, standing: Standing) -> list[str] | None:
    """Return in Airflow's words why a task instance is not queued, by Airflow's own check; none if nothing is unmet.

    ``None`` means that it cannot be checked: the Dag, or the task in it, does not exist any more.
    """
    from airflow.exceptions import TaskNotFound
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.ti_deps.dep_context import DepContext
    from airflow.ti_deps.dependencies_deps import SCHEDULER_QUEUED_DEPS
    from airflow.ti_deps.deps.valid_state_dep import ValidStateDep
    from sqlalchemy import select

    same_run = (TaskInstance.dag_id == standing.dag_id, TaskInstance.run_id == standing.run_id)
    ti = session.scalar(
        select(TaskInstance).where(
            *same_run, TaskInstance.task_id == standing.task_id, TaskInstance.map_index == standing.map_index
        )
    )
    run = session.scalar(select(DagRun).where(DagRun.dag_id == standing.dag_id, DagRun.run_id == standing.run_id))
    dag: Any = DBDagBag().get_dag_for_run(run, session=session) if run is not None else None
    if ti is None or dag is None:
        return None
    try:
        ti.task = dag.get_task(ti.task_id)
    except TaskNotFound:
        return None
    # Whether its state is "scheduled" is what the others decide.
    deps = {dep for dep in SCHEDULER_QUEUED_DEPS if not isinstance(dep, ValidStateDep)}
    failed = ti.get_failed_dep_statuses(dep_context=DepContext(deps=deps), session=session)
    return sorted({f"{status.dep_name}: {status.reason}" for status in failed})


def read_audit_rows(session: Session, standing: Standing) -> list[AuditRow]:
    """Return what executors and schedulers have written about a task instance, the oldest first."""
    from airflow.models.log import Log
    from sqlalchemy import or_, select

    query = (
        select(Log.dttm, Log.event, Log.extra, Log.try_number)
        .where(
            Log.dag_id == standing.dag_id,
            Log.task_id == standing.task_id,
            Log.run_id == standing.run_id,
            or_(Log.map_index == standing.map_index, Log.map_index.is_(None)),
            or_(Log.event.startswith(_OURS), Log.event.in_((*_SCHEDULERS_EVENTS, _MISMATCH))),
        )
        .order_by(Log.id.desc())
        .limit(_MOST_AUDIT_ROWS)
    )
    rows: Sequence[Any] = session.execute(query).all()
    return [
        AuditRow(
            at=_seconds(row.dttm),
            event=row.event.removeprefix(_OURS),
            text=row.extra or "",
            try_number=row.try_number or 0,
        )
        for row in reversed(rows)
    ]


def find_task_of(session: Session, attempt: str) -> Standing | None:
    """Return the task instance whose present or earlier try has this attempt id."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import select

    for model in (TaskInstance, TaskInstanceHistory):
        columns: Any = model
        query = select(columns.dag_id, columns.task_id, columns.run_id, columns.map_index)
        row = session.execute(query.where(columns.external_executor_id == attempt).limit(1)).first()
        if row is not None:
            found = read_standings(
                session, dag_id=row.dag_id, task_id=row.task_id, run_id=row.run_id, map_index=row.map_index
            )
            return found[0] if found else None
    return None


def database_trouble(error: Exception) -> str:
    """Return in one line why Airflow's database cannot be asked, without secrets and without the query."""
    cause = getattr(error, "orig", None) or error
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return hide_secrets(f"{type(cause).__name__}: {first}" if first else type(cause).__name__)


def knows_dag(session: Session, dag_id: str) -> bool:
    """Return whether Airflow's database has a Dag."""
    from airflow.models.dag import DagModel

    return session.get(DagModel, dag_id) is not None


def _text(state: Any) -> str:
    return str(getattr(state, "value", state) or "")


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0
