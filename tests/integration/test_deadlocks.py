"""PostgreSQL ends a transaction of ours, or Airflow's adoption, to resolve a deadlock with a migration (40P01)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.orm import Session, sessionmaker

from hybrid_executor.events import OwnerId
from hybrid_executor.store import Store
from tests.e2e.postgres import PostgresServer
from tests.integration import rows
from tests.integration.conftest import make_task, queue
from tests.leaks import shared
from tests.store_view import queue_length
from tests.waiting import PATIENCE_SECONDS, wait_until

MakeExecutor = Callable[..., Any]
_ANOTHER_SCHEDULER = "UPDATE task_instance SET queued_by_job_id = 3 WHERE task_id = 'taken'"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with ExitStack() as stack:
        with shared():
            server = stack.enter_context(PostgresServer())
        yield server


@pytest.fixture(scope="module")
def engine(postgres: PostgresServer) -> Iterator[Engine]:
    """A database with Airflow's tables, and three scheduler jobs, of which the first is dead."""
    import airflow.models
    from airflow.jobs.job import Job
    from airflow.models.base import Base
    from sqlalchemy import insert

    airflow.models.import_all_models()
    made = create_engine(postgres.airflow_url)
    Base.metadata.create_all(made)
    same = {"job_type": "SchedulerJob", "latest_heartbeat": datetime.now(timezone.utc), "hostname": "host"}
    states = {1: "failed", 2: "running", 3: "running"}
    with made.begin() as connection:
        connection.execute(insert(Job.__table__), [same | {"id": job, "state": states[job]} for job in states])
    yield made
    made.dispose()


@pytest.fixture
def make_tasks(engine: Engine, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that writes queued tasks of the dead scheduler, and returns their workloads."""
    from airflow import settings

    sessions = sessionmaker(bind=engine, expire_on_commit=False)
    monkeypatch.setattr(settings, "NonScopedSession", sessions)
    with sessions() as session:
        version = rows.insert_dag(session)

        def make(*names: str) -> list[Any]:
            workloads = [make_task(name) for name in names]
            rows.insert_tasks(session, workloads, version=version)
            session.execute(text("UPDATE task_instance SET queued_by_job_id = 1"))
            session.execute(text("UPDATE dag_run SET state = 'running'"))
            session.commit()
            return workloads

        yield make
        session.execute(text("DELETE FROM task_instance_history"))
        rows.clear(session)


@contextmanager
def deadlock(postgres: PostgresServer, first: str, *, then: Callable[[Any], object]) -> Iterator[None]:
    """Lock something, and the tasks' table when the next one waits for the first: the other transaction is ended.

    :param then: what is done in the transaction that survives, before it is saved.
    """
    log = postgres.folder / "server.log"
    before = log.read_text().count("deadlock detected")
    with ExitStack() as stack:
        migration, looking = (
            stack.enter_context(closing(psycopg2.connect(postgres.airflow_url.replace("+psycopg2", ""))))
            for _ in range(2)
        )
        looking.autocommit = True
        cursor, looks = migration.cursor(), looking.cursor()
        cursor.execute("SET deadlock_timeout = '1h'")  # so it is not this one that notices the deadlock, and is ended
        cursor.execute(first)

        def somebody_waits() -> bool:
            looks.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            return bool((looks.fetchone() or (0,))[0])

        def migrate() -> None:
            wait_until(somebody_waits, what="somebody waits for the first lock")
            cursor.execute("LOCK TABLE task_instance IN ACCESS EXCLUSIVE MODE")
            then(cursor)
            migration.commit()

        thread = threading.Thread(target=migrate)
        thread.start()
        try:
            yield
        finally:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert log.read_text().count("deadlock detected") == before + 1


def nothing(_: Any) -> None:
    """Nothing else is done."""


def read_rows(engine: Engine) -> dict[str, tuple[str, int | None]]:
    """Return state and scheduler of each task by Airflow's database."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT task_id, state, queued_by_job_id FROM task_instance"))
        return {row.task_id: (row.state, row.queued_by_job_id) for row in found}


def test_an_adoption_whose_transaction_was_ended_is_made_again_and_takes_nothing_that_another_scheduler_has_since(
    postgres: PostgresServer, engine: Engine, make_executor: MakeExecutor, make_tasks: Any, store: Store
) -> None:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    kept, taken, unknown = make_tasks("kept", "taken", "unknown")
    dead, living = make_executor(job_id=1), make_executor(job_id=2)
    ours, others = queue(dead, kept, taken)
    dead.heartbeat()
    runner = SchedulerJobRunner(job=Job(), executors=[living])
    runner.job.id = 2

    def adopt_as_another(cursor: Any) -> None:
        assert store.attempts.owned_by(OwnerId("2")) == {ours, others}, "it was in the middle of the adoption"
        cursor.execute(_ANOTHER_SCHEDULER)
        store.attempts.adopt([others], owner=OwnerId("3"))

    # What is given back is written there, after the executor was asked.
    first = "LOCK TABLE task_instance_history IN ACCESS EXCLUSIVE MODE"
    with Session(engine) as session, deadlock(postgres, first, then=adopt_as_another):
        assert runner.adopt_or_reset_orphaned_tasks(session=session) == 1
        session.commit()
    assert read_rows(engine) == {"kept": ("queued", 2), "taken": ("queued", 3), "unknown": (None, None)}
    living.heartbeat()
    living.clock.advance(living.settings.repair_interval_seconds)
    living.heartbeat()
    assert living.running == {kept.ti.key}
    assert len(living.context.ledger) == 1
    assert living.get_event_buffer() == {}
    assert store.attempts.owned_by(OwnerId("2")) == {ours}
    assert store.attempts.owned_by(OwnerId("3")) == {others}
    assert queue_length(store, "default") == 2
    assert unknown.ti.key not in living.running


def test_what_was_to_be_adopted_when_our_own_question_was_ended_is_looked_up_later(
    postgres: PostgresServer, engine: Engine, make_executor: MakeExecutor, make_tasks: Any, store: Store
) -> None:
    from airflow.models.taskinstance import TaskInstance

    kept, taken = make_tasks("kept", "taken")
    dead, living = make_executor(job_id=1), make_executor(job_id=2)
    ours, others = queue(dead, kept, taken)
    dead.heartbeat()
    with Session(engine) as session:
        asked = list(session.scalars(select(TaskInstance)))
        session.expunge_all()
    with deadlock(postgres, "REINDEX INDEX ti_state", then=lambda cursor: cursor.execute(_ANOTHER_SCHEDULER)):
        assert living.try_adopt_task_instances(asked) == [], "what is not known is not given back"
    assert living.running == set()
    with engine.begin() as connection:  # what Airflow writes then
        connection.execute(text("UPDATE task_instance SET queued_by_job_id = 2 WHERE task_id = 'kept'"))
    living.heartbeat()
    assert living.running == {kept.ti.key}
    assert store.attempts.owned_by(OwnerId("2")) == {ours}
    assert store.attempts.owned_by(OwnerId("1")) == {others}
    assert living.get_event_buffer() == {}


def test_a_repair_that_was_ended_is_done_again_and_the_heartbeat_goes_on(
    postgres: PostgresServer,
    make_executor: MakeExecutor,
    make_tasks: Any,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = make_executor(job_id=1)
    [workload] = make_tasks("task")
    queue(executor, workload)
    executor.heartbeat()
    store.client.flushall()
    with deadlock(postgres, "LOCK TABLE dag_run IN ACCESS EXCLUSIVE MODE", then=nothing):
        executor.heartbeat()
    assert [r.getMessage() for r in caplog.records if "trying again every" in r.getMessage()] == [
        "Could not compare attempts with their records; trying again every 5 s"
    ]
    executor.clock.advance(5)
    executor.heartbeat()
    assert queue_length(store, "default") == 1
    assert executor.running == {workload.ti.key}
    assert executor.get_event_buffer() == {}
