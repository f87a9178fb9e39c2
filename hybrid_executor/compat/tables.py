"""The tables of Airflow's database that are read by name, with the columns that are read."""

from __future__ import annotations

from airflow.utils.sqlalchemy import UtcDateTime
from sqlalchemy import TableClause, column, table

_TIMES = ("latest_heartbeat", "queued_dttm", "start_date", "end_date", "last_heartbeat_at", "run_after", "dttm")


def _table(name: str, *columns: str) -> TableClause:
    return table(name, *(column(one, UtcDateTime) if one in _TIMES else column(one) for one in columns))


JOB = _table("job", "id", "job_type", "state", "hostname", "latest_heartbeat")
RUN = _table("dag_run", "id", "dag_id", "run_id", "state", "run_after")
DAG = _table("dag", "dag_id", "bundle_name")
TEAM = _table("team", "name")
BUNDLE_TEAM = _table("dag_bundle_team", "dag_bundle_name", "team_name")
TASK = _table(
    "task_instance",
    *("dag_id", "task_id", "run_id", "map_index", "state", "try_number", "queue", "pool", "pool_slots", "executor"),
    *("external_executor_id", "queued_by_job_id", "queued_dttm", "start_date", "end_date", "last_heartbeat_at"),
)
HISTORY = _table(
    "task_instance_history", "dag_id", "task_id", "run_id", "map_index", "try_number", "external_executor_id"
)
LOG = _table("log", "id", "dttm", "dag_id", "task_id", "run_id", "map_index", "event", "extra", "try_number")
