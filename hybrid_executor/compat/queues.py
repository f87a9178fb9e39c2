"""Where an executor keeps the workloads that wait. Nothing else touches these queues."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from airflow.executors import workloads

from hybrid_executor.compat.releases import airflow_version
from hybrid_executor.errors import ConfigError

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor
    from airflow.executors.workloads.types import WorkloadKey

    from hybrid_executor.compat.workloads import AirflowWorkload

    Queue = dict[WorkloadKey, AirflowWorkload]

_QUEUES_UNTIL_3_3 = ("queued_callbacks", "queued_connection_tests", "queued_tasks")


def check_queues(executor: BaseExecutor) -> None:
    """Make sure that waiting workloads can be found; otherwise none would ever run.

    :raises ConfigError: this release of Airflow keeps them elsewhere.
    """
    if _find_queues(executor) is None:
        raise ConfigError(
            f"Airflow {airflow_version()} is not supported by this release of airflow-hybrid-executor: its executors "
            "keep the waiting workloads neither in executor_queues (Airflow 3.4) nor in queued_tasks (3.2 and 3.3). "
            "Install a newer airflow-hybrid-executor, or Airflow 3.2, 3.3 or 3.4."
        )


def queued_workloads(executor: BaseExecutor) -> list[tuple[WorkloadKey, AirflowWorkload]]:
    """Return what waits in the executor: callbacks and connection tests first, tasks by falling priority."""
    waiting = [item for queue in _queues(executor) for item in queue.items()]
    waiting.sort(key=_urgency)
    return waiting


def waiting_workloads(executor: BaseExecutor) -> Iterator[AirflowWorkload]:
    """Yield what waits in the executor, in no order that matters."""
    return chain.from_iterable(queue.values() for queue in _queues(executor))


def _urgency(item: tuple[WorkloadKey, AirflowWorkload]) -> tuple[int, int]:
    """Return what a waiting workload is sorted by. Of two equal ones, the first queued goes first."""
    workload = item[1]
    if isinstance(workload, workloads.ExecuteTask):
        return 2, -workload.ti.priority_weight
    return (0 if isinstance(workload, workloads.ExecuteCallback) else 1), 0


def count_queued(executor: BaseExecutor) -> int:
    """Return how many workloads wait in the executor."""
    return sum(len(queue) for queue in _queues(executor))


def drop_queued(executor: BaseExecutor, key: WorkloadKey) -> bool:
    """Remove a workload from the executor's waiting ones; return whether it was there."""
    was_there = False
    for queue in _queues(executor):
        was_there |= queue.pop(key, None) is not None
    return was_there


def is_queued(executor: object, key: WorkloadKey) -> bool:
    """Return whether a workload waits in the executor."""
    return any(key in queue for queue in _queues(executor))


def _queues(executor: object) -> Collection[Queue]:
    return _find_queues(executor) or ()


def _find_queues(executor: object) -> Collection[Queue] | None:
    """Return the queues by type of workload, ``None`` where there are none by any name that we know."""
    by_type: dict[object, Queue] | None = getattr(executor, "executor_queues", None)
    if by_type is not None:
        return by_type.values()
    found: list[Queue] = [getattr(executor, name) for name in _QUEUES_UNTIL_3_3 if hasattr(executor, name)]
    return found if hasattr(executor, "queued_tasks") else None
