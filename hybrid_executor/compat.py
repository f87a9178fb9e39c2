"""Everything that differs between Airflow releases, and all that this project touches inside Airflow's executor base.

Supported: 3.2 and 3.3, and the names that 3.4 is expected to use. Nothing outside this module asks for a version.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from airflow.executors import workloads
from airflow.models.callback import CallbackKey
from airflow.models.taskinstancekey import TaskInstanceKey

from hybrid_executor.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.executors.base_executor import BaseExecutor
    from sqlalchemy.orm import Session

try:
    from airflow.executors.workloads import TestConnection
    from airflow.models.connection_test import ConnectionTestKey
except ImportError:  # Airflow 3.2 has no connection tests on executors
    TestConnection = None  # type: ignore[assignment,misc]
    ConnectionTestKey = None  # type: ignore[assignment,misc]

SUPPORTS_CONNECTION_TEST = TestConnection is not None
_QUEUES = ("queued_callbacks", "queued_connection_tests", "queued_tasks")


def kind_of(workload: Any) -> Kind:
    """Return what sort of work Airflow handed us.

    :raises TypeError: it is none that executors get.
    """
    if isinstance(workload, workloads.ExecuteTask):
        return "task"
    if isinstance(workload, workloads.ExecuteCallback):
        return "callback"
    if TestConnection is not None and isinstance(workload, TestConnection):
        return "connection_test"
    raise TypeError(f"{type(workload).__name__} is not a workload of an executor")


def key_of(workload: Any) -> Hashable:
    """Return the key that the scheduler knows a workload by."""
    kind = kind_of(workload)
    if kind == "task":
        return cast(Hashable, workload.ti.key)
    # Airflow 3.2 keeps callbacks by the text of their id and gives the workload itself no key.
    return cast(Hashable, workload.callback.key if kind == "callback" else workload.key)


def event_key(key: Hashable) -> Hashable:
    """Return the key under which the scheduler takes in an event of what it knows by ``key``.

    Airflow 3.2 reads a callback from the database by the key as it stands, and only PostgreSQL finds a UUID by its
    text; elsewhere the scheduler would end (apache/airflow#67542).
    """
    return UUID(key) if isinstance(key, str) else key


def kinds_in_pods() -> frozenset[Kind]:
    """Return what Airflow's entry point of pods can run: everything from 3.3 on, tasks only before."""
    from airflow.executors.base_executor import BaseExecutor

    runs_all = hasattr(BaseExecutor, "run_workload")
    return frozenset(("task", "callback", "connection_test") if runs_all else ("task",))


def queue_of(workload: Any, *, default_queue: str) -> str:
    """Return the queue that a workload asks for."""
    kind = kind_of(workload)
    if kind == "task":
        return str(workload.ti.queue or default_queue)
    if kind == "callback":
        return str(workload.callback.data.get("queue") or default_queue)
    return str(workload.queue or default_queue)


def describe(workload: Any) -> dict[str, str | int]:
    """Return the record fields that say what a workload is. No secrets."""
    kind = kind_of(workload)
    if kind == "task":
        ti = workload.ti
        return {
            "kind": kind,
            "key": str(ti.id),
            "dag_id": ti.dag_id,
            "task_id": ti.task_id,
            "run_id": ti.run_id,
            "map_index": -1 if ti.map_index is None else ti.map_index,
            "try_number": ti.try_number,
        }
    if kind == "callback":
        data = workload.callback.data
        return {
            "kind": kind,
            "key": str(workload.callback.id),
            "dag_id": str(data.get("dag_id") or ""),
            "run_id": str(data.get("dag_run_id") or ""),
        }
    return {"kind": kind, "key": str(workload.connection_test_id)}


def describe_key(key: Hashable) -> dict[str, str | int]:
    """Return the record fields that a task's key holds, none for other work."""
    if not isinstance(key, TaskInstanceKey):
        return {}
    return {
        "dag_id": key.dag_id,
        "task_id": key.task_id,
        "run_id": key.run_id,
        "map_index": key.map_index,
        "try_number": key.try_number,
    }


def executor_config_of(workload: Any) -> Any:
    """Return a task's executor_config; it never leaves the scheduler with the workload itself."""
    return getattr(workload.ti, "executor_config", None) if kind_of(workload) == "task" else None


def pre_assigned_id(workload: Any) -> str:
    """Return the attempt id that the scheduler gave a task when it queued it, "" where it gave none."""
    return str(getattr(workload.ti, "external_executor_id", None) or "") if kind_of(workload) == "task" else ""


def queued_workloads(executor: BaseExecutor) -> list[tuple[Hashable, Any]]:
    """Return what waits in the executor: callbacks and connection tests first, tasks by falling priority."""
    waiting: list[tuple[Hashable, Any]] = []
    for name in _QUEUES:
        queue = _queue(executor, name)
        items: list[tuple[Hashable, Any]] = list(queue.items())
        if name == "queued_tasks" and len(items) > 1:
            items.sort(key=lambda item: -item[1].ti.priority_weight)
        waiting += items
    return waiting


def count_queued(executor: BaseExecutor) -> int:
    """Return how many workloads wait in the executor."""
    return sum(len(_queue(executor, name)) for name in _QUEUES)


def drop_queued(executor: BaseExecutor, key: Hashable) -> bool:
    """Take a workload out of the executor's waiting ones; return whether it was there."""
    found = [_queue(executor, name).pop(key, None) for name in _QUEUES]
    return any(workload is not None for workload in found)


def _queue(executor: BaseExecutor, name: str) -> dict[Any, Any]:
    return getattr(executor, name, None) or {}


def task_key(row: TaskRow) -> TaskInstanceKey:
    """Return the key that the scheduler knows a task by."""
    return TaskInstanceKey(
        dag_id=row.dag_id, task_id=row.task_id, run_id=row.run_id, try_number=row.try_number, map_index=row.map_index
    )


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """What Airflow's database says of one task instance.

    :ivar read_at: the database's own time of the answer; this process's clock may differ.
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

    def is_beating(self, quiet_seconds: float) -> bool:
        """Return whether its task process has been heard of within ``quiet_seconds``, by the database's clock."""
        if self.state != "running" or self.last_heartbeat_at is None:
            return False
        return (self.read_at - self.last_heartbeat_at).total_seconds() < quiet_seconds


@contextmanager
def own_session() -> Iterator[Session]:
    """Give a database session of our own, never the scheduler's: its row locks stay as they are."""
    from airflow import settings

    if settings.NonScopedSession is None:
        raise RuntimeError("Airflow's database is not set up in this process")
    session = settings.NonScopedSession()
    try:
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
                )
    return rows


def _database_time(session: Session) -> datetime:
    """Return what time it is by the database's clock."""
    from sqlalchemy import func, select

    now = func.utc_timestamp() if session.get_bind().dialect.name == "mysql" else func.now()
    told = session.scalar(select(now))
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(str(told))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def make_workloads(task_ids: Iterable[str], executor: BaseExecutor) -> dict[str, Any]:
    """Return workloads with fresh tokens for tasks that the database still has as queued, by task id.

    Where the workload of one cannot be made, the error stands in its place.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import joinedload

    made: dict[str, Any] = {}
    with own_session() as session:
        for chunk in _chunks(list(task_ids)):
            query = (
                select(TaskInstance)
                .where(TaskInstance.id.in_(_database_ids(chunk)), TaskInstance.state == TaskInstanceState.QUEUED)
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


def _database_ids(ids: Sequence[str]) -> list[Any]:
    """Return ids in the type of the column, which is text up to some release and a UUID after it."""
    from airflow.models.taskinstance import TaskInstance

    try:
        is_text = TaskInstance.__table__.c.id.type.python_type is str
    except NotImplementedError:
        is_text = False
    return list(ids) if is_text else [UUID(task_id) for task_id in ids]


def event_states(key: Hashable) -> Mapping[str, Any]:
    """Return the states that the scheduler expects in events for ``key``, by our words for them."""
    from airflow.utils.state import CallbackState, TaskInstanceState

    states: Any = TaskInstanceState
    if isinstance(key, CallbackKey):
        states = CallbackState
    elif ConnectionTestKey is not None and isinstance(key, ConnectionTestKey):
        from airflow.models.connection_test import ConnectionTestState

        states = ConnectionTestState
    return {
        "queued": states.QUEUED,
        "running": states.RUNNING,
        "succeeded": states.SUCCESS,
        "failed": states.FAILED,
    }


def is_task_key(key: Hashable) -> bool:
    """Return whether ``key`` stands for a task, rather than a callback or a connection test."""
    return isinstance(key, TaskInstanceKey)


def airflow_version() -> str:
    """Return the version of Airflow's core."""
    from airflow import __version__

    return __version__


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
    executor_config: Any = field(repr=False)


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


def make_example_workload(planned: PlannedTask, *, queue: str, run_id: str, map_index: int, token: str) -> Any:
    """Return the workload that the first try of a task would be, with ids that stand for nothing."""
    nobody = UUID(int=0)
    ti = workloads.TaskInstanceDTO(
        id=nobody,
        dag_version_id=nobody,
        dag_id=planned.dag_id,
        task_id=planned.task_id,
        run_id=run_id,
        try_number=1,
        map_index=map_index,
        pool_slots=1,
        priority_weight=1,
        queue=queue,
        executor_config=planned.executor_config,
        external_executor_id=str(nobody),
    )
    return workloads.ExecuteTask(
        ti=ti,
        dag_rel_path=PurePath(planned.dag_rel_path),
        token=token,
        bundle_info=workloads.BundleInfo(name=planned.bundle_name),
        log_path=None,
    )
