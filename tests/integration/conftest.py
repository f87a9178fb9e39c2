"""A started executor on a real Redis, used the way the scheduler uses it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.integration import rows
from tests.integration.redis_installed import Server
from tests.redis_situations import programs, serve
from tests.waiting import wait_until

QUEUE_OF_PODS = "kubernetes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a module's own, which can be made to refuse; see :mod:`tests.redis_situations`."""
    program = os.environ.get("HYBRID_TEST_SERVER") or programs()["valkey"]
    started = serve(tmp_path_factory.mktemp("server") / "data", program)
    yield started
    started.kill()


class MovableClock:
    """The monotonic clock, which a test can put forward."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        self._ahead_seconds += seconds


def unanswered(command: Callable[..., Any]) -> Callable[..., None]:
    """Return a command to Redis that is done and whose answer is lost."""

    def lose_the_answer(*arguments: Any, **named: Any) -> None:
        command(*arguments, **named)
        raise StoreUnavailable("no answer")

    return lose_the_answer


def set_options(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    """Set options given as ``section__name=value`` the way a deployment does: in the environment."""
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__{name.upper()}", value)


def make_task(task_id: str = "task", *, queue: str = "default", attempt: str | None = None, **fields: Any) -> Any:
    """Return the workload of a task as the scheduler makes it."""
    from airflow.executors.workloads import BundleInfo, ExecuteTask, TaskInstanceDTO

    values = {"try_number": 1, "map_index": -1, "priority_weight": 1, "pool_slots": 1} | fields
    ti = TaskInstanceDTO(
        id=values.pop("id", None) or uuid.uuid4(),
        task_id=task_id,
        dag_id=values.pop("dag_id", "dag"),
        run_id=values.pop("run_id", "run"),
        dag_version_id=uuid.uuid4(),
        queue=queue,
        external_executor_id=attempt if attempt is not None else str(uuid.uuid4()),
        **values,
    )
    return ExecuteTask(
        ti=ti,
        dag_rel_path="dag.py",
        bundle_info=BundleInfo(name="dags"),
        log_path="log",
        token="a-secret-token",
    )


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """The store as a worker or an agent sees it."""
    opened = open_store(RedisSettings(url=redis_url), instance="airflow")
    yield opened
    opened.close()


@pytest.fixture
def make_executor(redis_url: str, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[Callable[..., Any]]:
    """Return a function that starts an executor as scheduler job ``job_id``."""
    from hybrid_executor.executor import HybridExecutor

    os.environ.pop("AIRFLOW__CELERY__BROKER_URL", None)
    set_options(monkeypatch, hybrid_executor__redis_url=redis_url, celery__broker_url=redis_url)
    set_options(monkeypatch, hybrid_executor__agent="external")
    started = []

    def make(job_id: int | None = 1, cls: type = HybridExecutor, start: bool = True, **options: str) -> Any:
        set_options(monkeypatch, **options)
        executor = cls(parallelism=32)
        executor.job_id = job_id
        executor.clock = MovableClock()
        if start:
            executor.start()
        started.append(executor)
        return executor

    yield make
    for executor in started:
        executor.terminate()


@pytest.fixture
def session(airflow_db: None) -> Iterator[Any]:
    """A session on a database without rows of the audit log."""
    from airflow.models.log import Log
    from sqlalchemy import delete

    opened = rows.open_session()
    opened.execute(delete(Log))
    opened.commit()
    yield opened
    opened.rollback()
    opened.close()


@pytest.fixture
def make_row(airflow_db: None) -> Iterator[Callable[..., Any]]:
    """Return a function that writes a task instance as the scheduler has it, and returns its workload."""
    session = rows.open_session()
    rows.clear(session)
    version = rows.insert_dag(session)

    def make(task_id: str = "task", *, state: str = "queued", heard: timedelta | None = None, **fields: Any) -> Any:
        workload = make_task(task_id, **fields)
        last = None if heard is None else datetime.now(timezone.utc) - heard
        rows.insert_tasks(session, [workload], version=version, state=state, last_heartbeat_at=last)
        return workload

    yield make
    rows.clear(session)
    session.close()


def repaired(executor: Any) -> dict[str, Any]:
    """Let the timed repairs run now; return the events by task id."""
    executor.heartbeat()
    executor.clock.advance(executor.settings.repair_interval_seconds)
    executor.heartbeat()
    executor.heartbeat()
    return {key.task_id: (state.value, info) for key, (state, info) in executor.get_event_buffer().items()}


def wait_for(predicate: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until the predicate holds."""
    wait_until(predicate, seconds=seconds)


def queue(executor: Any, *workloads: Any) -> list[AttemptId]:
    """Queue workloads as the scheduler does; return their attempt ids."""
    for workload in workloads:
        executor.queue_workload(workload, session=None)
    return [AttemptId(workload.ti.external_executor_id or "") for workload in workloads]


def as_task_instance(workload: Any) -> Any:
    """Return the database's object for a task, without a database."""
    import airflow.models
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import attributes, configure_mappers, instrumentation

    airflow.models.import_all_models()
    configure_mappers()
    ti = TaskInstance.__new__(TaskInstance)
    instrumentation.manager_of_class(TaskInstance).setup_instance(ti)
    for name in ("id", "dag_id", "task_id", "run_id", "map_index", "try_number", "queue", "external_executor_id"):
        attributes.set_committed_value(ti, name, getattr(workload.ti, name))
    return ti
