"""Workloads as the scheduler makes them, and the rows that they have in Airflow's database."""

from __future__ import annotations

import uuid
from pathlib import PurePath
from typing import Any

# As long as the token of a task that Airflow 3.3 signs.
_TOKEN = "e" * 420


def make_tasks(count: int, *, queue: str) -> list[Any]:
    """Return the workloads of ``count`` mapped tasks of one run."""
    from airflow.executors.workloads import BundleInfo, ExecuteTask, TaskInstanceDTO

    version = uuid.uuid4()
    bundle = BundleInfo(name="dags")
    return [
        ExecuteTask(
            ti=TaskInstanceDTO(
                id=uuid.uuid4(),
                task_id="task",
                dag_id="dag",
                run_id="run",
                try_number=1,
                map_index=number,
                dag_version_id=version,
                priority_weight=1,
                pool_slots=1,
                queue=queue,
                external_executor_id=str(uuid.uuid4()),
            ),
            dag_rel_path=PurePath("dag.py"),
            bundle_info=bundle,
            log_path=f"dag_id=dag/run_id=run/task_id=task/map_index={number}/attempt=1.log",
            token=_TOKEN,
        )
        for number in range(count)
    ]


def write_rows(workloads: list[Any], *, state: str, job_id: int) -> None:
    """Write the task instances that a scheduler's job has queued to Airflow's database, in place of all there were."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    from tests.integration import rows

    session = rows.open_session()
    rows.clear(session)
    version = rows.insert_dag(session)
    rows.insert_tasks(session, workloads, version=version, state=state)
    session.execute(update(TaskInstance).values(queued_by_job_id=job_id))
    session.commit()
    session.close()


def change_rows(state: str) -> None:
    """Change the state of all task instances, as the tasks do when they end."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    from tests.integration import rows

    session = rows.open_session()
    session.execute(update(TaskInstance).values(state=state))
    session.commit()
    session.close()


def read_task_instances() -> list[Any]:
    """Return all task instances, as the scheduler reads those of a dead one."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    from tests.integration import rows

    session = rows.open_session()
    found = list(session.scalars(select(TaskInstance)))
    session.expunge_all()
    session.close()
    return found
