"""What the installed release of Airflow can do."""

from __future__ import annotations

from enum import Enum

from airflow.executors import workloads

from hybrid_executor.events import Kind

# Empty before Airflow 3.4.
_TYPES: tuple[Enum, ...] = tuple(getattr(workloads, "WorkloadType", ()))
_KNOWN_TYPES = ("ExecuteTask", "ExecuteCallback", "TestConnection")


class SupportedWorkloads:
    """Tells Airflow which workloads an executor accepts: those that this project knows, not those of later releases."""

    if _TYPES:
        supported_workload_types = frozenset(known for known in _TYPES if known.value in _KNOWN_TYPES)
    else:
        supports_callbacks = True
        # Airflow 3.2 has no connection tests on executors.
        supports_connection_test = hasattr(workloads, "TestConnection")


def airflow_version() -> str:
    """Return the version of Airflow's core."""
    from airflow import __version__

    return __version__


def kinds_in_pods() -> frozenset[Kind]:
    """Return what Airflow's entry point of pods can run: everything from 3.3 on, tasks only before."""
    from airflow.executors.base_executor import BaseExecutor

    runs_all = hasattr(BaseExecutor, "run_workload")
    return frozenset(("task", "callback", "connection_test") if runs_all else ("task",))
