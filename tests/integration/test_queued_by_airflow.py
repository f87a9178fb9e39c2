"""What Airflow's own scheduler gives to an executor while one queue has many tasks ready: docs/elastic-routes.md."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.integration import rows

_MANY = 150
_FEW = 5
_LOOPS = 4


@pytest.fixture
def dags(session: Any) -> Iterator[Callable[..., None]]:
    """Return a function that writes a Dag with a run, whose tasks are ready: the older run has the longer queue."""
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.pool import Pool
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import delete, insert, select, update

    rows.clear(session)
    session.add(DagBundleModel(name="examples"))
    session.commit()

    def write(
        name: str, *, count: int, age: int, active: int = 5_000, pool: str = "default_pool", weight: int = 1
    ) -> None:
        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        with DAG(name, schedule=None, start_date=start, max_active_tasks=active) as described:
            EmptyOperator(task_id="work", queue=name)
        model = DagModel(dag_id=name, bundle_name="examples", relative_fileloc=f"{name}.py", fileloc=f"/{name}.py")
        model.is_paused, model.max_active_tasks = False, active
        session.add(model)
        session.flush()
        SerializedDagModel.write_dag(
            LazyDeserializedDAG.from_dag(described), bundle_name="examples", bundle_version=None, session=session
        )
        session.flush()
        version = session.scalar(select(DagVersion.id).where(DagVersion.dag_id == name))
        moment = datetime.now(timezone.utc) - timedelta(seconds=age)
        run = {"dag_id": name, "run_id": "run", "run_type": "manual", "run_after": moment, "logical_date": moment}
        session.execute(insert(DagRun).values(**run, state="running", created_dag_version_id=version))
        same = {"dag_id": name, "run_id": "run", "task_id": "work", "pool": pool, "pool_slots": 1, "queue": name}
        same |= {"priority_weight": weight, "max_tries": 1, "executor_config": {}, "dag_version_id": version}
        same |= {"try_number": 1, "state": "scheduled"}
        session.execute(insert(TaskInstance), [{**same, "id": uuid.uuid4(), "map_index": i} for i in range(count)])
        session.commit()

    session.execute(delete(Pool).where(Pool.pool == "big"))
    session.add(Pool(pool="big", slots=16, include_deferred=False))
    session.commit()
    yield write
    rows.clear(session)
    session.execute(delete(Pool).where(Pool.pool == "big"))
    session.execute(update(Pool).values(slots=128))
    session.commit()


@pytest.mark.parametrize(
    ("big", "small", "parallelism", "default_pool", "expected"),
    [
        # [core] max_active_tasks_per_dag, 16 by default, leaves half of the slots to others.
        pytest.param({"active": 16}, {}, 32, 128, (16, 5), id="defaults"),
        pytest.param({}, {}, 32, 128, (32, 0), id="more active tasks"),
        pytest.param({"pool": "big"}, {}, 32, 128, (16, 5), id="a pool for the large queue"),
        pytest.param({}, {"weight": 2}, 32, 128, (27, 5), id="priority_weight"),
        pytest.param({}, {}, 400, 128, (128, 0), id="the default pool is full"),
        pytest.param({}, {}, 400, 400, (150, 5), id="parallelism and default pool"),
    ],
)
def test_a_small_queue_gets_what_airflow_queues(
    dags: Callable[..., None],
    session: Any,
    make_executor: Callable[..., Any],
    big: dict[str, Any],
    small: dict[str, Any],
    parallelism: int,
    default_pool: int,
    expected: tuple[int, int],
) -> None:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.pool import Pool
    from sqlalchemy import update

    dags("big", count=_MANY, age=60, **big)
    dags("small", count=_FEW, age=0, **small)
    session.execute(update(Pool).where(Pool.pool == "default_pool").values(slots=default_pool))
    session.commit()
    options = {"core__parallelism": str(parallelism), "scheduler__max_tis_per_query": "0" if parallelism > 32 else "16"}
    executor = make_executor(hybrid_executor__routes="*=celery", **options)
    executor.parallelism = parallelism
    runner = SchedulerJobRunner(job=Job(), executors=[executor])
    for _ in range(_LOOPS):
        runner._critical_section_enqueue_task_instances(session)
        session.commit()
        executor.heartbeat()
    store = executor.context.store
    given = Counter(record.queue for record in store.attempts.records(list(store.attempts.live("celery"))) if record)
    assert (given["big"], given["small"]) == expected
