"""How tasks and schedulers stand by Airflow's database and by Airflow's own rules. Reads only.

Commands that ask should start quickly. So tables are read by their names: to load and to configure Airflow's models
takes most of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hybrid_executor.compat import tables
from hybrid_executor.compat.teams import Share, is_given_to
from hybrid_executor.hiding import hide_secrets

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_OURS = "hybrid executor: "
_SCHEDULERS_EVENTS = ("stuck in queued reschedule", "stuck in queued tries exceeded", "heartbeat timeout")
MISMATCH = "state mismatch"
"""The audit log's event where the scheduler ends a task because its executor said so; it repeats the executor."""
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
    from airflow.configuration import conf
    from sqlalchemy import select

    alive_seconds = conf.getfloat("scheduler", "scheduler_health_check_threshold", fallback=30.0)
    now = datetime.now(timezone.utc)
    jobs = tables.JOB.c
    rows = []
    query = select(jobs.id, jobs.hostname, jobs.state, jobs.latest_heartbeat)
    for job in session.execute(query.where(jobs.job_type == "SchedulerJob", jobs.state == "running").order_by(jobs.id)):
        age = max(0.0, (now - job.latest_heartbeat).total_seconds()) if job.latest_heartbeat else None
        is_alive = age is not None and age < alive_seconds
        if age is None or age < _REMEMBERED_SECONDS:
            rows.append(
                SchedulerRow(
                    job_id=str(job.id),
                    hostname=job.hostname or "",
                    state=job.state,
                    is_alive=is_alive,
                    heartbeat_age=age,
                )
            )
    return rows


def count_queued_tasks(session: Session, *, share: Share | None = None) -> list[QueuedCount]:
    """Return how many task instances are queued, by queue.

    :param share: only those that Airflow gives to this executor.
    """
    from sqlalchemy import func, select

    tasks = tables.TASK.c
    of_share = [is_given_to(share, dag_id=tasks.dag_id, executor=tasks.executor)] if share is not None else []
    query = (
        select(tasks.queue, func.count(), func.min(tasks.queued_dttm))
        .where(tasks.state == "queued", *of_share)
        .group_by(tasks.queue)
        .order_by(tasks.queue)
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
    from sqlalchemy import select

    tasks, runs, history = tables.TASK.c, tables.RUN.c, tables.HISTORY.c
    query = select(runs.run_id, runs.state).where(runs.dag_id == dag_id)
    if run_id is None:
        query = query.join_from(tables.RUN, tables.TASK, (tasks.dag_id == runs.dag_id) & (tasks.run_id == runs.run_id))
        query = query.where(tasks.task_id == task_id).order_by(runs.run_after.desc(), runs.id.desc()).limit(1)
    else:
        query = query.where(runs.run_id == run_id)
    run = session.execute(query).first()
    if run is None:
        return []
    names = {"dag_id": dag_id, "task_id": task_id, "run_id": run.run_id}
    of_task = select(tables.TASK).where(*(tasks[name] == text for name, text in names.items()))
    if map_index is not None:
        of_task = of_task.where(tasks.map_index == map_index)
    found = session.execute(of_task.order_by(tasks.map_index)).all()
    earlier = session.execute(
        select(history.map_index, history.external_executor_id)
        .where(*(history[name] == text for name, text in names.items()))
        .order_by(history.try_number.desc())
    ).all()
    return [_standing(ti, [row[1] for row in earlier if row[0] == ti.map_index], run.state or "") for ti in found]


def _standing(ti: Any, earlier: Iterable[str | None], run_state: str) -> Standing:
    attempts = dict.fromkeys(attempt for attempt in (ti.external_executor_id, *earlier) if attempt)
    return Standing(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=ti.map_index,
        state=ti.state or "",
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
    return sorted({_told(status.reason) for status in failed})


def _told(reason: str) -> str:
    """Return a reason without what only a programmer reads, but with the names of the upstream tasks."""
    words, _, rest = reason.partition(" upstream_states=")
    found = re.search(r"upstream_task_ids=\{(.*?)\}", rest)
    names = found[1].replace("'", "") if found else ""
    return f"{words} Upstream tasks: {names}." if names else words


def read_audit_rows(session: Session, standing: Standing) -> list[AuditRow]:
    """Return what executors and schedulers have written about a task instance, the oldest first."""
    from sqlalchemy import or_, select

    log = tables.LOG.c
    query = (
        select(log.dttm, log.event, log.extra, log.try_number)
        .where(
            log.dag_id == standing.dag_id,
            log.task_id == standing.task_id,
            log.run_id == standing.run_id,
            or_(log.map_index == standing.map_index, log.map_index.is_(None)),
            or_(log.event.startswith(_OURS), log.event.in_((*_SCHEDULERS_EVENTS, MISMATCH))),
        )
        .order_by(log.id.desc())
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
    from sqlalchemy import select

    for known in (tables.TASK.c, tables.HISTORY.c):
        query = select(known.dag_id, known.task_id, known.run_id, known.map_index)
        row = session.execute(query.where(known.external_executor_id == attempt).limit(1)).first()
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
    from sqlalchemy import select

    return session.execute(select(tables.DAG.c.dag_id).where(tables.DAG.c.dag_id == dag_id)).first() is not None


def _seconds(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else 0.0
