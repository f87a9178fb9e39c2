"""What Airflow's database says of tasks, read with sessions of our own, and workloads made from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.executors import workloads
from airflow.models.taskinstancekey import TaskInstanceKey

from hybrid_executor.compat.teams import Share, is_given_to

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor
    from airflow.executors.workloads import ExecuteTask
    from sqlalchemy.orm import Session

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"

UNFINISHED = ("queued", "running", "restarting")
"""The states in which Airflow waits for an attempt of a task."""

UNAWAITED = ("", "scheduled", "skipped", "success", "failed", "upstream_failed", "removed")
"""The states in which Airflow waits for no attempt of a task, and which it may have before an attempt has started."""


def is_unawaited(state: str, *, has_started: bool) -> bool:
    """Return whether Airflow waits for no attempt of a task in this state that is not known to have started.

    :param has_started: its task has been heard of. Then an end is its own, and its pod tells how it ended.
    """
    return state in UNAWAITED and not (has_started and state in ("success", "failed"))


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """What Airflow's database says of one task instance.

    :ivar read_at: the database's own time of the answer; this process's clock may differ.
    :ivar queued_by: the job id of the scheduler that answers for it, "" for none.
    """

    id: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    state: str
    queue: str
    attempt: str
    last_heartbeat_at: datetime | None
    read_at: datetime
    queued_by: str = ""

    def is_beating(self, quiet_seconds: float) -> bool:
        """Return whether its task process has been heard of within ``quiet_seconds``, by the database's clock."""
        if self.state != "running" or self.last_heartbeat_at is None:
            return False
        return (self.read_at - self.last_heartbeat_at).total_seconds() < quiet_seconds


def task_key(row: TaskRow) -> TaskInstanceKey:
    """Return the key that the scheduler knows a task by."""
    return TaskInstanceKey(
        dag_id=row.dag_id, task_id=row.task_id, run_id=row.run_id, try_number=row.try_number, map_index=row.map_index
    )


@contextmanager
def own_session() -> Iterator[Session]:
    """Give a database session of our own, never the scheduler's: its row locks stay as they are.

    On PostgreSQL it waits for a lock for at most 2 s and then raises. Airflow asks for adoption in a transaction with
    locked rows. If somebody waits for the whole table, such as a migration, it waits for this transaction, and we would
    wait behind it. PostgreSQL cannot see this deadlock, because one of its edges is in this process.
    """
    from airflow import settings
    from sqlalchemy import text

    if settings.NonScopedSession is None:
        raise RuntimeError("Airflow's database is not set up in this process")
    session = settings.NonScopedSession()
    try:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text(_LOCK_TIMEOUT))
        yield session
    finally:
        session.close()


def read_tasks(task_ids: Iterable[str]) -> dict[str, TaskRow]:
    """Return what the database says of tasks, by id, read in bulk; unknown ids are left out."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    columns = (
        TaskInstance.id,
        TaskInstance.dag_id,
        TaskInstance.task_id,
        TaskInstance.run_id,
        TaskInstance.map_index,
        TaskInstance.try_number,
        TaskInstance.state,
        TaskInstance.queue,
        TaskInstance.external_executor_id,
        TaskInstance.last_heartbeat_at,
        TaskInstance.queued_by_job_id,
    )
    rows: dict[str, TaskRow] = {}
    with own_session() as session:
        read_at = _database_time(session)
        for chunk in _chunks(list(dict.fromkeys(task_ids))):
            for row in session.execute(select(*columns).where(TaskInstance.id.in_(_database_ids(chunk)))):
                rows[str(row.id)] = TaskRow(
                    id=str(row.id),
                    dag_id=row.dag_id,
                    task_id=row.task_id,
                    run_id=row.run_id,
                    map_index=row.map_index,
                    try_number=row.try_number,
                    state=str(getattr(row.state, "value", row.state) or ""),
                    queue=row.queue or "",
                    attempt=row.external_executor_id or "",
                    last_heartbeat_at=row.last_heartbeat_at,
                    read_at=read_at,
                    queued_by=str(row.queued_by_job_id or ""),
                )
    return rows


def _database_time(session: Session) -> datetime:
    """Return what time it is by the database's clock."""
    from sqlalchemy import func, select

    now = func.utc_timestamp() if session.get_bind().dialect.name == "mysql" else func.now()
    told = session.scalar(select(now))
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def make_workloads(
    task_ids: Iterable[str], executor: BaseExecutor, *, share: Share | None = None
) -> dict[str, ExecuteTask | Exception]:
    """Return workloads with fresh tokens for tasks that the database still has as queued, by task id.

    Where the workload of one cannot be made, the error stands in its place.

    :param share: only for tasks that Airflow gives to this executor. The ids may come from the Redis of a team, and a
        token for the task of another team must not get there.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import joinedload

    made: dict[str, ExecuteTask | Exception] = {}
    allowed = [is_given_to(share, dag_id=TaskInstance.dag_id, executor=TaskInstance.executor)] if share else []
    with own_session() as session:
        for chunk in _chunks(list(task_ids)):
            query = (
                select(TaskInstance)
                .where(TaskInstance.id.in_(_database_ids(chunk)), TaskInstance.state == TaskInstanceState.QUEUED)
                .where(*allowed)
                .options(joinedload(TaskInstance.dag_run), joinedload(TaskInstance.dag_model))
            )
            for ti in session.scalars(query):
                try:
                    made[str(ti.id)] = workloads.ExecuteTask.make(ti, generator=executor.jwt_generator)
                except SQLAlchemyError:
                    raise
                except Exception as error:  # noqa: BLE001 - one task that cannot be described keeps no other waiting
                    made[str(ti.id)] = error
    return made


def _chunks(ids: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _database_ids(ids: Sequence[str]) -> Sequence[str | UUID]:
    """Return ids in the type of the column, which is text up to some release and a UUID after it.

    A text that is no UUID is the id of no row, and is left out.
    """
    from airflow.models.taskinstance import TaskInstance

    try:
        is_text = TaskInstance.__table__.c.id.type.python_type is str
    except NotImplementedError:
        is_text = False
    return list(ids) if is_text else [found for task_id in ids if (found := _uuid_of(task_id)) is not None]


def _uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """A task as the newest version of its Dag describes it.

    :ivar queue: "" for the default one.
    """

    dag_id: str
    task_id: str
    queue: str
    is_mapped: bool
    bundle_name: str
    dag_rel_path: str
    executor_config: dict[str, Any] = field(repr=False)


def read_planned_tasks(dag_id: str) -> list[PlannedTask] | None:
    """Return the tasks of a Dag as Airflow's database has them, ``None`` where it has no such Dag."""
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel

    with own_session() as session:
        dag: Any = SerializedDagModel.get_dag(dag_id, session=session)
        if dag is None:
            return None
        model: Any = session.get(DagModel, dag_id)
        return [
            PlannedTask(
                dag_id=dag_id,
                task_id=task.task_id,
                queue=task.queue or "",
                is_mapped=bool(task.is_mapped),
                bundle_name=(model.bundle_name if model else "") or "",
                dag_rel_path=(model.relative_fileloc if model else "") or "",
                executor_config=task.executor_config or {},
            )
            for task in dag.tasks
        ]


def read_live_schedulers() -> set[str]:
    """Return the job ids of the schedulers that Airflow counts as alive."""
    from airflow.jobs.job import Job
    from sqlalchemy import select

    with own_session() as session:
        running = select(Job).where(Job.job_type == "SchedulerJob", Job.state == "running")
        return {str(job.id) for job in session.scalars(running) if job.is_alive()}


def read_unfinished_tasks(*, is_default_executor: bool, share: Share | None = None) -> list[TaskRow]:
    """Return the queued and running tasks that are given to an executor of this project.

    :param is_default_executor: tasks without an executor of their own are given to ours.
    :param share: which tasks it gets in Airflow's multi-team mode.
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import or_, select

    ours = or_(TaskInstance.executor.contains("hybrid_executor"), TaskInstance.executor == "HybridExecutor")
    if share is not None:
        ours = is_given_to(share, dag_id=TaskInstance.dag_id, executor=TaskInstance.executor)
    elif is_default_executor:
        ours = or_(ours, TaskInstance.executor.is_(None))
    query = select(TaskInstance.id).where(TaskInstance.state.in_(UNFINISHED), ours)
    with own_session() as session:
        ids = [str(found) for found in session.scalars(query)]
    return list(read_tasks(ids).values())
