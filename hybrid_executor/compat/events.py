"""Keys of workloads, and the states and events that the scheduler expects for them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from airflow.models.callback import CallbackKey
from airflow.models.taskinstancekey import TaskInstanceKey

if TYPE_CHECKING:
    from airflow.executors.workloads.types import WorkloadKey, WorkloadState

    from hybrid_executor.compat.workloads import AirflowWorkload

try:
    from airflow.models.connection_test import ConnectionTestKey
except ImportError:  # Airflow 3.2 has no connection tests on executors
    ConnectionTestKey = None  # type: ignore[assignment,misc]


def is_task_key(key: Hashable) -> bool:
    """Return whether ``key`` stands for a task, rather than a callback or a connection test."""
    return isinstance(key, TaskInstanceKey)


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


def event_key(key: WorkloadKey) -> WorkloadKey:
    """Return the key under which the scheduler accepts an event of what it knows by ``key``.

    Airflow 3.2 keeps callbacks by the text of their id. It reads a callback from the database by the key as it is, and
    only PostgreSQL finds a UUID by its text; elsewhere the scheduler would end (apache/airflow#67542).
    """
    return cast("WorkloadKey", UUID(key)) if isinstance(key, str) else key


def event_states(key: Hashable) -> Mapping[str, WorkloadState]:
    """Return the states that the scheduler expects in events for ``key``, by our words for them."""
    return _states_of(type(key))


@cache
def _states_of(key_type: type) -> Mapping[str, WorkloadState]:
    from airflow.utils.state import CallbackState, TaskInstanceState

    states: Any = TaskInstanceState
    if issubclass(key_type, CallbackKey):
        states = CallbackState
    elif ConnectionTestKey is not None and issubclass(key_type, ConnectionTestKey):
        from airflow.models.connection_test import ConnectionTestState

        states = ConnectionTestState
    return {
        "queued": states.QUEUED,
        "running": states.RUNNING,
        "succeeded": states.SUCCESS,
        "failed": states.FAILED,
    }


def failed_event(workload: AirflowWorkload) -> tuple[WorkloadKey, WorkloadState] | None:
    """Return key and state for the event that fails a workload of an unknown kind, ``None`` where it names none."""
    key, state = getattr(workload, "key", None), getattr(workload, "failure_state", None)
    return None if key is None or state is None else (key, state)


def unpack_event(value: Sequence[Any]) -> tuple[WorkloadState, Any, str]:
    """Return state, info and ``workload_run_id`` ("" for none) of a value in an executor's event buffer.

    Releases that have a ``workload_run_id`` put it in as the third part.
    """
    state, info, *rest = value
    return state, info, str(rest[0] or "") if rest else ""


def key_in(executor: object, workload: AirflowWorkload, key: WorkloadKey) -> WorkloadKey:
    """Return the key by which another executor knows ``workload``, which is not always ``key``.

    From Airflow 3.4 on an executor may know tasks by their id (``supports_task_instance_uuid``); LocalExecutor does.
    """
    find = getattr(executor, "get_workload_key", None)
    return find(workload) if find is not None else key
