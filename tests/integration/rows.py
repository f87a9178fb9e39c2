"""Task instances in Airflow's database, as the scheduler has them when it hands them out."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timezone
from typing import Any


def open_session() -> Any:
    """Return a session on the tests' database."""
    from airflow import settings

    if getattr(settings, "NonScopedSession", None) is None:
        settings.configure_orm()  # not again: the connections of the old engine would be left open
    assert settings.NonScopedSession is not None
    return settings.NonScopedSession()


def queue_again(workload: Any) -> None:
    """Let Airflow have the task of a workload as another attempt, as after another scheduler has queued it."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    with closing(open_session()) as session:
        of_task = update(TaskInstance).where(TaskInstance.id == workload.ti.id)
        session.execute(of_task.values(external_executor_id=str(uuid.uuid4())))
        session.commit()


def clear(session: Any) -> None:
    """Remove what :func:`insert_dag` and :func:`insert_tasks` have written."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete

    for model in (TaskInstance, DagRun, DagVersion, DagModel, DagBundleModel):
        session.execute(delete(model))
    session.commit()


def insert_dag(session: Any) -> uuid.UUID:
    """Write a Dag with one run; return the id of its version."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from sqlalchemy import insert

    version, now = uuid.uuid4(), datetime.now(timezone.utc)
    dag = {"dag_id": "dag", "bundle_name": "dags", "relative_fileloc": "dag.py", "fileloc": "/dag.py"}
    dag |= {"max_active_tasks": 9, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
    run = {"id": 1, "dag_id": "dag", "run_id": "run", "run_type": "manual", "run_after": now, "logical_date": now}
    session.execute(insert(DagBundleModel).values(name="dags"))
    session.execute(insert(DagModel).values(**dag))
    session.execute(insert(DagVersion).values(id=version, dag_id="dag", version_number=1, bundle_name="dags"))
    session.execute(insert(DagRun).values(**run))
    session.commit()
    return version


def insert_teams(session: Any, **dags: str) -> None:
    """Write teams, each with a bundle and one Dag: ``team=dag``."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.team import Team, dag_bundle_team_association_table
    from sqlalchemy import insert

    same = {"relative_fileloc": "dag.py", "fileloc": "/dag.py", "max_active_tasks": 9}
    same |= {"max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
    for team, dag_id in dags.items():
        session.execute(insert(Team).values(name=team))
        session.execute(insert(DagBundleModel).values(name=f"of-{team}"))
        session.execute(insert(dag_bundle_team_association_table).values(dag_bundle_name=f"of-{team}", team_name=team))
        session.execute(insert(DagModel).values(dag_id=dag_id, bundle_name=f"of-{team}", **same))
    session.commit()


def clear_teams(session: Any) -> None:
    """Remove what :func:`insert_teams` has written, before :func:`clear`."""
    from airflow.models.team import Team, dag_bundle_team_association_table
    from sqlalchemy import delete

    session.execute(delete(dag_bundle_team_association_table))
    session.execute(delete(Team))
    session.commit()


def insert_tasks(
    session: Any,
    workloads: Sequence[Any],
    *,
    version: uuid.UUID,
    state: str = "queued",
    last_heartbeat_at: datetime | None = None,
) -> None:
    """Write the task instances of workloads."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    same = {"pool": "default_pool", "pool_slots": 1, "priority_weight": 1, "max_tries": 0}
    same |= {"state": state, "dag_version_id": version, "last_heartbeat_at": last_heartbeat_at}
    names = ("id", "task_id", "dag_id", "run_id", "map_index", "try_number", "queue")
    rows = [
        same
        | {name: getattr(workload.ti, name) for name in names}
        | {"external_executor_id": workload.ti.external_executor_id or None}
        | {"executor_config": workload.ti.executor_config or {}}
        for workload in workloads
    ]
    session.execute(insert(TaskInstance), rows)
    session.commit()
