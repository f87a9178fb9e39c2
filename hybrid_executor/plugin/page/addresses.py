"""Addresses of Airflow's own pages, relative to ours."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from hybrid_executor.plugin.views import PAGE_ROUTE, PREFIX, RUN_ROUTE, TASK_ROUTE

_ROOT = "../" * PREFIX.count("/")
EXECUTOR_PAGE = f"{_ROOT}plugin/{PAGE_ROUTE}"
"""The page about the whole executor in Airflow's UI."""


def run_page(dag_id: str, run_id: str) -> str:
    """Return the address of a run's tab in Airflow's UI."""
    return f"{_run(dag_id, run_id)}/plugin/{RUN_ROUTE}"


def task_page(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the address of a task instance's tab in Airflow's UI."""
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{_run(dag_id, run_id)}/tasks/{_part(task_id)}{mapped}/plugin/{TASK_ROUTE}"


def tab_of_task(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the address of what that tab shows in its frame."""
    wanted = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return f"task?{urlencode(wanted)}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_ROOT}dags/{_part(dag_id)}/runs/{_part(run_id)}"


def _part(name: str) -> str:
    return quote(name, safe="")
