"""What becomes of a callback is taken in by Airflow's own scheduler code, into a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybrid_executor import compat
from hybrid_executor.executor import HybridExecutor, LocalKubernetesExecutor
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue
from tests.integration.rows import open_session
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]


@pytest.fixture
def callback(airflow_db: None) -> Iterator[Any]:
    """A callback in Airflow's database, of a function that is always there."""
    from airflow.executors.workloads.callback import CallbackFetchMethod
    from airflow.models.callback import ExecutorCallback
    from airflow.sdk import SyncCallback

    with open_session() as session:
        row = ExecutorCallback(SyncCallback("os.getcwd"), fetch_method=CallbackFetchMethod.IMPORT_PATH)
        session.add(row)
        session.commit()
        yield row
        session.delete(row)
        session.commit()


def queue_callback(executor: Any, callback: Any) -> None:
    """Queue a callback as the scheduler does."""
    from airflow.executors.workloads import BundleInfo, ExecuteCallback
    from airflow.executors.workloads.callback import CallbackDTO

    workload = ExecuteCallback(
        callback=CallbackDTO.model_validate(callback, from_attributes=True),
        dag_rel_path="dag.py",
        bundle_info=BundleInfo(name="dags"),
        log_path=None,
        token="token",
    )
    executor.queue_workload(workload, session=None)


def state_after_events(executor: Any, callback: Any) -> str:
    """Let the scheduler take in the executor's events; return the callback's state in the database."""
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from sqlalchemy.orm import object_session

    session: Any = object_session(callback)
    SchedulerJobRunner.process_executor_events(executor, job_id=1, scheduler_dag_bag=None, session=session)  # type: ignore[arg-type]
    session.commit()
    return str(getattr(callback.state, "value", callback.state))


@pytest.mark.parametrize(("end", "expected"), [(State.SUCCEEDED, "success"), (State.FAILED, "failed")])
def test_the_scheduler_takes_in_how_a_callback_on_a_worker_went(
    make_executor: MakeExecutor, store: Store, callback: Any, end: State, expected: str
) -> None:
    executor = make_executor(cls=HybridExecutor)
    queue_callback(executor, callback)
    executor.heartbeat()
    [attempt] = store.attempts.live("celery")
    store.attempts.claim(attempt, worker="w")
    executor.heartbeat()
    assert state_after_events(executor, callback) == "running"
    store.attempts.advance(Change(attempt=attempt, to=end, fields={"reason": "" if end is State.SUCCEEDED else "why"}))
    executor.heartbeat()
    assert state_after_events(executor, callback) == expected


def test_the_scheduler_takes_in_how_a_callback_beside_it_went(make_executor: MakeExecutor, callback: Any) -> None:
    executor = make_executor(cls=LocalKubernetesExecutor, hybrid_executor__routes="*=local", core__parallelism="1")
    try:
        queue_callback(executor, callback)

        def has_succeeded() -> bool:
            executor.heartbeat()
            return state_after_events(executor, callback) == "success"

        wait_until(has_succeeded, what=lambda: callback.state)
    finally:
        executor.end()


def test_local_work_runs_while_redis_is_unavailable_and_the_rest_stays_queued(
    make_executor: MakeExecutor, callback: Any
) -> None:
    executor = make_executor(
        cls=LocalKubernetesExecutor,
        hybrid_executor__routes="kubernetes=kubernetes, *=local",
        hybrid_executor__redis_url="redis://127.0.0.1:1/0",
        core__parallelism="1",
    )
    in_pod = make_task(queue=QUEUE_OF_PODS)
    try:
        queue(executor, in_pod)
        queue_callback(executor, callback)

        def has_succeeded() -> bool:
            executor.heartbeat()
            return state_after_events(executor, callback) == "success"

        wait_until(has_succeeded, what=lambda: callback.state)
        assert [key for key, _ in compat.queued_workloads(executor)] == [in_pod.ti.key]
        assert executor.slots_available == 1
    finally:
        executor.end()


def wait_for_repairs(executor: Any) -> None:
    """Let the timed repairs run twice."""
    for _ in range(3):
        executor.clock.advance(executor.settings.repair_interval_seconds)
        executor.heartbeat()


def fall_silent(store: Store, job_id: int) -> None:
    """Let a scheduler be one that has not been heard of for some time."""
    store.client.delete(store.keys.member("scheduler", str(job_id)))


def test_a_callback_that_two_schedulers_queue_is_run_once(
    make_executor: MakeExecutor, store: Store, callback: Any
) -> None:
    """Airflow locks no rows when it queues callbacks."""
    first, second = make_executor(job_id=1), make_executor(job_id=2)
    for executor in (first, second):
        queue_callback(executor, callback)
    for executor in (first, second, first, second):
        executor.heartbeat()
    [attempt] = store.attempts.live("celery")
    assert store.client.llen("default") == 1
    assert (len(first.running), len(second.running)) == (1, 0)
    assert not compat.is_queued(second, first_key := next(iter(first.running))), first_key
    assert store.attempts.claim(attempt, worker="w").is_granted
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    second.heartbeat()
    assert second.get_event_buffer() == {}
    first.heartbeat()
    assert state_after_events(first, callback) == "success"


def test_the_callback_of_a_dead_scheduler_is_followed_to_its_end_by_another(
    make_executor: MakeExecutor, store: Store, callback: Any
) -> None:
    first, second = make_executor(job_id=1), make_executor(job_id=2)
    queue_callback(first, callback)
    first.heartbeat()
    second.heartbeat()
    state_after_events(first, callback)
    give_to_executor(callback)
    [attempt] = store.attempts.live("celery")
    wait_for_repairs(second)
    assert second.running == set(), "its scheduler lives"
    fall_silent(store, 1)
    second.clock.advance(60)
    wait_for_repairs(second)
    assert len(second.running) == 1
    assert store.attempts.claim(attempt, worker="w").is_granted
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    second.heartbeat()
    assert state_after_events(second, callback) == "success"
    assert store.attempts.owned_by(second.context.owner) == set()


def test_the_end_of_a_callback_that_its_scheduler_did_not_live_to_see_is_told_by_the_next_one(
    make_executor: MakeExecutor, store: Store, callback: Any
) -> None:
    first = make_executor(job_id=1)
    queue_callback(first, callback)
    first.heartbeat()
    give_to_executor(callback)
    [attempt] = store.attempts.live("celery")
    assert store.attempts.claim(attempt, worker="w").is_granted
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "why"}))
    fall_silent(store, 1)
    second = make_executor(job_id=2)
    wait_for_repairs(second)
    assert second.get_event_buffer() == {}, "its own scheduler may tell it still"
    key = store.keys.attempt(attempt)
    store.client.hset(key, "ended_at", int(store.client.hget(key, "ended_at")) - 21_000)
    second.clock.advance(21)
    wait_for_repairs(second)
    assert state_after_events(second, callback) == "failed"


def give_to_executor(callback: Any) -> None:
    """Let Airflow have given a callback to an executor."""
    from airflow.utils.state import CallbackState
    from sqlalchemy.orm import object_session

    session: Any = object_session(callback)
    callback.state = CallbackState.QUEUED
    session.commit()
