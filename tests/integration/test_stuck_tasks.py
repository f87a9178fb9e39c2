"""A task that was queued for too long: Airflow's scheduler takes it back, and the audit log says what it waited for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_executor.plugin.audit_log import Attempt, read_ending
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, queue

MakeExecutor = Callable[..., Any]
NOTE = "The pod finds no node (Unschedulable): 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def take_back(executor: Any, session: Any) -> None:
    """Let a scheduler look for tasks that are queued for too long, and save the audit log, as its loop does."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    job = Job()
    runner = SchedulerJobRunner(job, executors=[executor])
    job.id = 77
    long_ago = datetime.now(timezone.utc) - timedelta(days=1)
    session.execute(update(TaskInstance).values(queued_dttm=long_ago, queued_by_job_id=job.id))
    session.commit()
    runner._handle_tasks_stuck_in_queued(session=session)
    runner._process_task_event_logs(executor._task_event_logs, session)
    session.commit()


def audit_log(session: Any) -> dict[str, str]:
    from airflow.models.log import Log
    from sqlalchemy import select

    return dict(session.execute(select(Log.event, Log.extra).where(Log.task_id == "task")).all())


def test_a_pod_that_found_no_node_is_told_in_the_audit_log(
    make_executor: MakeExecutor, make_row: Any, store: Store, session: Any
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(queue=QUEUE_OF_PODS))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.PENDING, fields={"pod": "p", "namespace": "ns"}))
    store.attempts.annotate({attempt: {"note": NOTE}})
    take_back(executor, session)
    found = audit_log(session)
    assert found["hybrid executor: stuck in queued"] == NOTE
    assert "longer than" in found["stuck in queued reschedule"]
    assert state_of(store, attempt) is State.REVOKED


def test_a_task_that_was_taken_back_too_often_tells_on_its_log_page_what_it_waited_for(
    make_executor: MakeExecutor, make_row: Any, store: Store, session: Any
) -> None:
    executor = make_executor(scheduler__num_stuck_in_queued_retries="0")
    [attempt] = queue(executor, make_row(queue=QUEUE_OF_PODS))
    executor.heartbeat()
    store.attempts.annotate({attempt: {"note": "Waiting for quota: 4 of 4 GPUs are used"}})
    take_back(executor, session)
    page = Attempt(dag_id="dag", run_id="run", task_id="task", map_index=-1, try_number=1)
    ending = read_ending(page)
    assert ending is not None
    assert "Stuck in queued: Waiting for quota: 4 of 4 GPUs are used" in [words.text for words in ending.words]


def test_a_queue_without_a_worker_is_told_in_the_audit_log(
    make_executor: MakeExecutor, make_row: Any, store: Store, session: Any
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(queue="etl"))
    executor.heartbeat()
    take_back(executor, session)
    assert "No worker took it from queue 'etl'" in audit_log(session)["hybrid executor: stuck in queued"]
    assert state_of(store, attempt) is State.REVOKED


def test_while_redis_is_unavailable_nothing_is_said_about_what_a_task_waited_for(
    make_executor: MakeExecutor, make_row: Any, session: Any
) -> None:
    executor = make_executor(hybrid_executor__redis_url="redis://127.0.0.1:1/0")
    queue(executor, make_row())
    executor.heartbeat()
    take_back(executor, session)
    found = audit_log(session)
    assert "longer than" in found.pop("stuck in queued reschedule")
    assert found == {}


def state_of(store: Store, attempt: AttemptId) -> State:
    [record] = store.attempts.records([attempt])
    assert record is not None
    return record.state
