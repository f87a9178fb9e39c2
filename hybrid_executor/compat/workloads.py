"""Airflow's workloads, which tell an executor what to run. Each is read once into a value of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast
from uuid import UUID

from airflow.executors import workloads

from hybrid_executor.events import Kind

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteCallback, ExecuteTask, TestConnection
    from airflow.executors.workloads.types import WorkloadKey

    from hybrid_executor.compat.database import PlannedTask


class AirflowWorkload(Protocol):
    """Any workload of Airflow, also of a kind that this project does not know. It holds a token: never log it."""

    def model_dump_json(self) -> str:
        """Return all its fields as JSON, also those that this project does not know."""


@dataclass(kw_only=True, slots=True)  # one is made for each workload: frozen ones take twice as long to make
class Workload:
    """A workload, read. Nobody changes it.

    :ivar key: what the scheduler knows it by.
    :ivar id: the id of the task instance, callback or connection test in Airflow's database.
    :ivar queue: the queue that it asks for, "" for the default one.
    :ivar fields: what its record says of it (dag_id, task_id, ...). No secrets.
    :ivar executor_config: a task's own, which Airflow does not put into the workload's JSON.
    :ivar pre_assigned_id: the attempt id that the scheduler gave a task when it queued it, "" for none.
    :ivar workload_run_id: Airflow's id of this one queueing, "" in releases that have none. By it the scheduler
        tells the end of a deferred run from the end of the run that followed.
    :ivar airflow: the workload itself.
    """

    kind: Kind
    key: WorkloadKey
    id: str
    queue: str
    fields: Mapping[str, str | int]
    executor_config: object = field(default=None, repr=False)
    pre_assigned_id: str = ""
    workload_run_id: str = ""
    airflow: AirflowWorkload = field(repr=False)


def read_workload(workload: AirflowWorkload) -> Workload:
    """Return what a workload says.

    :raises TypeError: it is of a kind that this project does not know.
    """
    if isinstance(workload, workloads.ExecuteTask):
        return _read_task(workload)
    if isinstance(workload, workloads.ExecuteCallback):
        return _read_callback(workload)
    if _is_connection_test(workload):
        return _read_connection_test(workload)
    raise TypeError(f"unknown kind of workload: {type(workload).__name__}")


def _read_task(workload: ExecuteTask) -> Workload:
    ti = workload.ti
    ti_id = str(ti.id)
    return Workload(
        kind="task",
        key=ti.key,
        id=ti_id,
        queue=ti.queue or "",
        fields={
            "kind": "task",
            "key": ti_id,
            "dag_id": ti.dag_id,
            "task_id": ti.task_id,
            "run_id": ti.run_id,
            "map_index": -1 if ti.map_index is None else ti.map_index,
            "try_number": ti.try_number,
        },
        executor_config=ti.executor_config,
        pre_assigned_id=ti.external_executor_id or "",
        workload_run_id=_run_id_of(ti),
        airflow=workload,
    )


def with_changes(workload: Any, **changes: Any) -> Any:
    """Return a task's workload with other values of its task instance; ``None`` changes nothing."""
    update = {name: value for name, value in changes.items() if value is not None}
    if not update or not isinstance(workload, workloads.ExecuteTask):
        return workload
    return workload.model_copy(update={"ti": workload.ti.model_copy(update=update)})


def _run_id_of(ti: Any) -> str:
    # Pydantic is slow to answer that there is no such attribute.
    return (ti.workload_run_id or "") if "workload_run_id" in type(ti).model_fields else ""


def _read_callback(workload: ExecuteCallback) -> Workload:
    callback = workload.callback
    return Workload(
        kind="callback",
        # Airflow 3.2 gives the workload itself no key.
        key=callback.key,
        id=str(callback.id),
        queue=str(callback.data.get("queue") or ""),
        fields={
            "kind": "callback",
            "key": str(callback.id),
            "dag_id": str(callback.data.get("dag_id") or ""),
            "run_id": str(callback.data.get("dag_run_id") or ""),
        },
        airflow=workload,
    )


def _read_connection_test(workload: TestConnection) -> Workload:
    test_id = str(workload.connection_test_id)
    return Workload(
        kind="connection_test",
        key=workload.key,
        id=test_id,
        queue=workload.queue or "",
        fields={"kind": "connection_test", "key": test_id},
        airflow=workload,
    )


def parse_workload(kind: Kind, text: str) -> AirflowWorkload:
    """Return a workload from the JSON that it was submitted as.

    :raises ValueError: it is none of this kind.
    """
    names = {"task": "ExecuteTask", "callback": "ExecuteCallback", "connection_test": "TestConnection"}
    model = getattr(workloads, names.get(kind, ""), None)
    if model is None:
        raise ValueError(f"This Airflow release has no workload of the kind {kind}")
    return cast("AirflowWorkload", model.model_validate_json(text))


def is_known(workload: object) -> bool:
    """Return whether a workload is of a kind that this project can run."""
    return isinstance(workload, workloads.ExecuteTask | workloads.ExecuteCallback) or _is_connection_test(workload)


def _is_connection_test(workload: object) -> TypeGuard[TestConnection]:
    kind = getattr(workloads, "TestConnection", None)  # Airflow 3.2 has none
    return kind is not None and isinstance(workload, kind)


def key_of(workload: AirflowWorkload) -> WorkloadKey:
    """Return what the scheduler knows a workload by, without reading the rest of it.

    :raises AttributeError: it is of an unknown kind and has no key.
    """
    if isinstance(workload, workloads.ExecuteTask):
        return workload.ti.key
    if isinstance(workload, workloads.ExecuteCallback):
        return workload.callback.key
    return cast("WorkloadKey", workload.key)  # type: ignore[attr-defined]


def queue_of(workload: AirflowWorkload, *, default_queue: str) -> str:
    """Return the queue that a workload asks for, without reading the rest of it."""
    if isinstance(workload, workloads.ExecuteTask):
        return workload.ti.queue or default_queue
    if isinstance(workload, workloads.ExecuteCallback):
        return str(workload.callback.data.get("queue") or default_queue)
    return str(getattr(workload, "queue", None) or default_queue)


def try_number_of(workload: AirflowWorkload) -> int:
    """Return which try of its task a workload is, 1 for work that is no task."""
    return workload.ti.try_number if isinstance(workload, workloads.ExecuteTask) else 1


def kind_of(workload: AirflowWorkload) -> Kind:
    """Return the kind of a workload, without reading the rest of it."""
    if isinstance(workload, workloads.ExecuteTask):
        return "task"
    return "connection_test" if _is_connection_test(workload) else "callback"


def make_example_workload(planned: PlannedTask, *, queue: str, run_id: str, map_index: int, token: str) -> ExecuteTask:
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
