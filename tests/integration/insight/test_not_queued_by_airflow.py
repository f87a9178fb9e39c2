"""A task that Airflow itself has not queued: its own check says why. And attempts whose record has expired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import pytest

from hybrid_executor.config import DictConfig, Settings, read_settings
from hybrid_executor.insight.story import Story, read_story
from hybrid_executor.store import Store
from tests.integration import rows

DAG_ID = "chain"


@pytest.fixture
def chain(session: Any) -> Iterator[Any]:
    """A Dag of two tasks in Airflow's database, as the Dag processor and the scheduler leave it there, with one run."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import delete, insert, select

    rows.clear(session)
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as described:
        EmptyOperator(task_id="up") >> EmptyOperator(task_id="down", retries=1)
    session.add(DagBundleModel(name="examples"))
    session.flush()
    model = DagModel(dag_id=DAG_ID, bundle_name="examples", relative_fileloc="chain.py")
    model.is_paused = False
    session.add(model)
    session.flush()
    SerializedDagModel.write_dag(
        LazyDeserializedDAG.from_dag(described), bundle_name="examples", bundle_version=None, session=session
    )
    session.flush()
    version = session.scalar(select(DagVersion.id).where(DagVersion.dag_id == DAG_ID))
    now = datetime.now(timezone.utc)
    run = {"id": 7, "dag_id": DAG_ID, "run_id": "run", "run_type": "manual", "run_after": now, "logical_date": now}
    session.execute(insert(DagRun).values(**run, state="running", created_dag_version_id=version))
    same = {
        "dag_id": DAG_ID,
        "run_id": "run",
        "map_index": -1,
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
    }
    same |= {"priority_weight": 1, "max_tries": 1, "executor_config": {}, "dag_version_id": version, "try_number": 0}
    for task_id in ("up", "down"):
        session.execute(insert(TaskInstance).values(id=uuid4(), task_id=task_id, **same))
    session.commit()
    yield session
    session.rollback()
    session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == DAG_ID))
    session.commit()
    rows.clear(session)


@pytest.fixture
def why(store: Store, chain: Any, redis_url: str, schedulers: Callable[..., None]) -> Callable[..., Story]:
    schedulers(1)
    settings: Settings = read_settings(DictConfig({"hybrid_executor": {"redis_url": redis_url}}))

    def ask(task_id: str) -> Story:
        chain.rollback()
        return read_story(store, chain, settings, dag_id=DAG_ID, task_id=task_id)

    return ask


def update(session: Any, model: Any, **values: Any) -> None:
    from sqlalchemy import update as change

    session.execute(change(model).values(**values))
    session.commit()


def test_upstream_tasks_are_not_done(why: Callable[..., Story]) -> None:
    story = why("down")
    assert "Airflow itself has not queued it" in story.where
    assert "requires all upstream tasks to have succeeded" in story.waits_for
    assert "Upstream tasks: up." in story.waits_for
    assert "_UpstreamTIStates" not in story.waits_for
    assert story.advice.endswith("airflow hybrid why chain UPSTREAM_TASK")


def test_nothing_is_unmet(why: Callable[..., Story]) -> None:
    assert why("up").waits_for == "All its conditions are met; the scheduler queues it in one of its next loops."


def test_the_dag_is_paused(why: Callable[..., Story], chain: Any) -> None:
    from airflow.models.dag import DagModel

    update(chain, DagModel, is_paused=True)
    story = why("up")
    assert "Task's DAG 'chain' is paused." in story.waits_for
    assert story.advice == "Unpause the Dag: airflow dags unpause chain"


def test_a_pool_of_airflow_is_full(why: Callable[..., Story], chain: Any) -> None:
    from airflow.models.pool import Pool
    from sqlalchemy import update as change

    chain.execute(change(Pool).where(Pool.pool == "default_pool").values(slots=0))
    chain.commit()
    try:
        story = why("up")
    finally:
        chain.execute(change(Pool).where(Pool.pool == "default_pool").values(slots=128))
        chain.commit()
    assert "0 open slots in pool default_pool" in story.waits_for
    assert "airflow pools set" in story.advice


def test_an_attempt_whose_record_has_expired_is_told_from_the_audit_log(why: Callable[..., Story], chain: Any) -> None:
    from airflow.models.log import Log
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    update(chain, TaskInstance, state="failed", external_executor_id="0000")
    same = {"dag_id": DAG_ID, "task_id": "down", "run_id": "run", "map_index": -1, "try_number": 1}
    same |= {"dttm": datetime.now(timezone.utc)}
    words = "Pod p was evicted from its node"
    chain.execute(insert(Log).values(event="state mismatch", extra=f"Executor says: {words}", **same))
    chain.execute(insert(Log).values(event="hybrid executor: attempt failed", extra=words, **same))
    chain.commit()
    story = why("down")
    assert story.chapters == ()
    assert [(row.event, row.text, row.try_number) for row in story.audit] == [("attempt failed", words, 1)]
    assert story.has_failed
