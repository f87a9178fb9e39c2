"""What only the owner can mend: dead schedulers, dead workers, dead pods, lost messages; with Airflow's database."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


@pytest.fixture
def make_row(airflow_db: None) -> Iterator[MakeRow]:
    """Return a function that writes a task instance as the scheduler has it, and returns its workload."""
    from airflow import settings
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete, insert

    settings.configure_orm()
    assert settings.NonScopedSession is not None
    session = settings.NonScopedSession()
    version = uuid.uuid4()
    now = datetime.now(timezone.utc)

    def clear() -> None:
        for model in (TaskInstance, DagRun, DagVersion, DagModel, DagBundleModel):
            session.execute(delete(model))
        session.commit()

    clear()
    session.execute(insert(DagBundleModel).values(name="dags"))
    session.execute(
        insert(DagModel).values(
            dag_id="dag",
            bundle_name="dags",
            max_active_tasks=9,
            max_consecutive_failed_dag_runs=0,
            has_task_concurrency_limits=False,
            relative_fileloc="dag.py",
            fileloc="/dag.py",
        )
    )
    session.execute(insert(DagVersion).values(id=version, dag_id="dag", version_number=1, bundle_name="dags"))
    session.execute(
        insert(DagRun).values(id=1, dag_id="dag", run_id="run", run_type="manual", run_after=now, logical_date=now)
    )
    session.commit()

    def make(task_id: str = "task", *, state: str = "queued", heard: timedelta | None = None, **fields: Any) -> Any:
        workload = make_task(task_id, **fields)
        ti = workload.ti
        session.execute(
            insert(TaskInstance).values(
                id=ti.id,
                task_id=task_id,
                dag_id="dag",
                run_id="run",
                map_index=-1,
                try_number=1,
                pool="default_pool",
                pool_slots=1,
                queue=ti.queue,
                state=state,
                priority_weight=1,
                dag_version_id=version,
                max_tries=0,
                external_executor_id=ti.external_executor_id or None,
                executor_config={},
                last_heartbeat_at=None if heard is None else now - heard,
            )
        )
        session.commit()
        return workload

    yield make
    clear()
    session.close()


def rows_of(*workloads: Any) -> list[Any]:
    """Return task instances as the scheduler passes them for adoption: few columns loaded."""
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance as Ti
    from sqlalchemy import select
    from sqlalchemy.orm import lazyload, load_only

    assert settings.NonScopedSession is not None
    session = settings.NonScopedSession()
    columns = (Ti.id, Ti.dag_id, Ti.task_id, Ti.run_id, Ti.map_index, Ti.state, Ti.external_executor_id)
    query = select(Ti).where(Ti.id.in_([w.ti.id for w in workloads])).options(lazyload(Ti.dag_run), load_only(*columns))
    return list(session.scalars(query))


# ---- dead schedulers ----


def test_adopted_attempts_are_answered_for_without_touching_them(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = make_executor(job_id=1)
    waiting, running = make_row("waiting"), make_row("running")
    _, claimed = queue(first, waiting, running)
    first.heartbeat()
    store.attempts.claim(claimed, worker="w")
    second = make_executor(job_id=2)
    assert second.try_adopt_task_instances(rows_of(waiting, running)) == []
    assert second.try_adopt_task_instances(rows_of(waiting, running)) == []
    assert second.running == {waiting.ti.key, running.ti.key}
    assert len(store.attempts.owned_by("2")) == 2
    store.attempts.advance(Change(attempt=claimed, to=State.FAILED, fields={"reason": "why"}))
    second.heartbeat()
    assert second.get_event_buffer()[running.ti.key][1] == "why"


def test_an_attempt_that_ended_unseen_is_reported_by_its_adopter(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = make_executor(job_id=1)
    workload = make_row()
    [attempt] = queue(first, workload)
    first.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "evicted"}))
    second = make_executor(job_id=2)
    assert second.try_adopt_task_instances(rows_of(workload)) == []
    assert second.get_event_buffer()[workload.ti.key][1] == "evicted"
    assert second.running == set()


def test_a_task_without_a_record_is_given_back_at_once(make_executor: MakeExecutor, make_row: MakeRow) -> None:
    executor = make_executor(job_id=2)
    unknown, nameless = make_row("unknown"), make_row("nameless", attempt="")
    rows = rows_of(unknown, nameless)
    assert {ti.task_id for ti in executor.try_adopt_task_instances(rows)} == {"unknown", "nameless"}


def test_a_task_that_sends_heartbeats_is_never_given_back(make_executor: MakeExecutor, make_row: MakeRow) -> None:
    executor = make_executor(job_id=2)
    beating = make_row("beating", state="running", heard=timedelta(seconds=2))
    silent = make_row("silent", state="running", heard=timedelta(seconds=300))
    assert [ti.task_id for ti in executor.try_adopt_task_instances(rows_of(beating, silent))] == ["silent"]


def test_with_redis_away_nothing_is_given_back_and_the_question_is_asked_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    first = make_executor(job_id=1)
    workload = make_row()
    queue(first, workload)
    first.heartbeat()
    second = make_executor(job_id=2)
    with redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("CLIENT", "PAUSE", "5500", "ALL")
        assert second.try_adopt_task_instances(rows_of(workload)) == []
        assert second.running == set()
    second._desk.outage._closed_until = 0
    wait_for(lambda: (second.heartbeat(), second.running == {workload.ti.key})[1])


def wait_for(predicate: Callable[[], bool], seconds: float = 20) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


# ---- dead workers ----


def repaired(executor: Any) -> dict[str, Any]:
    """Let the timed repairs run now; return the events by task id."""
    executor.heartbeat()
    executor._next_repair = 0
    executor.heartbeat()
    executor.heartbeat()
    return {key.task_id: (state.value, info) for key, (state, info) in executor.get_event_buffer().items()}


def start_on_worker(executor: Any, store: Store, workload: Any, worker: str = "gone") -> AttemptId:
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker=worker)
    executor.heartbeat()
    for tracked in executor._desk.ledger:
        tracked.since -= 60
    return attempt


def test_a_task_whose_worker_and_heartbeat_are_silent_is_failed_as_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=120))
    start_on_worker(executor, store, workload)
    state, info = repaired(executor)["task"]
    assert state == "failed"
    assert "worker lost" in info
    assert "gone" in info


def test_a_task_that_sends_heartbeats_is_left_alone_when_its_worker_is_cut_off(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=1))
    start_on_worker(executor, store, workload)
    assert repaired(executor) == {}
    assert executor.running == {workload.ti.key}


def test_a_task_of_a_living_worker_is_left_alone(make_executor: MakeExecutor, make_row: MakeRow, store: Store) -> None:
    executor = make_executor()
    store.presence.announce("worker", "alive", {}, seconds=30)
    workload = make_row(state="running", heard=timedelta(seconds=120))
    start_on_worker(executor, store, workload, "alive")
    assert repaired(executor) == {}


def test_a_task_that_never_started_is_sent_again_when_its_worker_died(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    workload = make_row(state="queued")
    attempt = start_on_worker(executor, store, workload)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("default")
        assert repaired(executor) == {}
        assert client.llen("default") == 1
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.launches) == (State.SUBMITTED, 1)
    assert store.attempts.claim(attempt, worker="other").is_granted


# ---- lost messages ----


def test_a_message_that_left_its_queue_and_reached_nobody_is_sent_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    queue(executor, make_row())
    executor.heartbeat()
    for tracked in executor._desk.ledger:
        tracked.since -= 60
    with redis.Redis.from_url(redis_url) as client:
        client.delete("default")
        repaired(executor)
        assert client.llen("default") == 1


def test_a_message_that_waits_in_its_queue_is_not_sent_twice(
    make_executor: MakeExecutor, make_row: MakeRow, redis_url: str
) -> None:
    executor = make_executor()
    queue(executor, make_row())
    executor.heartbeat()
    for tracked in executor._desk.ledger:
        tracked.since -= 60
    repaired(executor)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 1


def test_a_message_that_a_dead_worker_held_unstarted_is_sent_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    held, other = make_row("held"), make_row("other")
    attempt, _ = queue(executor, held, other)
    executor.heartbeat()
    store.attempts.annotate({attempt: {"received_by": "gone"}})
    for tracked in executor._desk.ledger:
        tracked.since -= 60
    repaired(executor)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 3


# ---- dead pods ----


@pytest.mark.parametrize(
    ("state", "expected"),
    [("queued", {}), ("running", {"task": ("failed", "OOMKilled")}), ("success", {"task": ("failed", "OOMKilled")})],
)
def test_a_lost_pod_is_launched_again_only_if_its_task_never_started(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str, expected: dict[str, Any]
) -> None:
    executor = make_executor()
    workload = make_row(state=state, queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "OOMKilled"}))
    assert repaired(executor) == expected
    stream = store.launches("default", consumer="test")
    stream.prepare()
    assert len(stream.take(count=10, wait_milliseconds=10)) == (2 if state == "queued" else 1)


def test_a_pod_that_keeps_dying_before_its_task_starts_fails_it_in_the_end(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor(kubernetes_executor__pod_launch_failure_retries="1")
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    for _ in range(2):
        store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "OOMKilled"}))
        events = repaired(executor)
    assert events == {"task": ("failed", "OOMKilled")}


def test_work_that_redis_lost_is_submitted_again_with_a_fresh_token(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    store.client.flushall()
    executor.heartbeat()
    _, payload, _ = store.attempts.workload(attempt)
    assert '"token":"' in payload
    assert "a-secret-token" not in payload
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 1
