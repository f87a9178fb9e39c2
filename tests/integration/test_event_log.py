"""The audit log's rows about failed attempts, as a whole loop of Airflow's scheduler writes them into its database."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybrid_executor.executor import HybridExecutor, KubernetesExecutor
from hybrid_executor.executor.event_log import MOST_ROWS, EventLog
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue

MakeExecutor = Callable[..., Any]
_EVENT = "hybrid executor: attempt failed"


def run_scheduler(*executors: Any, loops: int = 2) -> None:
    """Run a scheduler for some loops."""
    from airflow.jobs.job import Job, run_job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    runner = SchedulerJobRunner(Job(), num_runs=loops, scheduler_idle_sleep_time=0, executors=list(executors))
    run_job(job=runner.job, execute_callable=runner._execute)


def saved(session: Any) -> list[tuple[str, int, str]]:
    """Return task id, try number and text of the rows in the database."""
    from airflow.models.log import Log
    from sqlalchemy import select

    query = select(Log.task_id, Log.try_number, Log.extra).where(Log.event == _EVENT)
    return sorted(tuple(row) for row in session.execute(query))


def unusable(task_id: str, **fields: Any) -> Any:
    """Return a task that the executor rejects."""
    return make_task(task_id, queue=QUEUE_OF_PODS, executor_config={"pod_override": f"no pod for {task_id}"}, **fields)


def test_each_failed_attempt_has_its_row_in_the_database(
    make_executor: MakeExecutor, session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor(start=False, hybrid_executor__kubernetes_parallelism="300")
    executor.parallelism = 300
    queue(executor, *(unusable(f"t{index:03}", try_number=index) for index in range(1, 301)))
    run_scheduler(executor)
    found = saved(session)
    assert [(task_id, number) for task_id, number, _ in found] == [(f"t{n:03}", n) for n in range(1, 301)]
    assert all("pod_override" in text for _, _, text in found)
    assert "trying to save task event logs" not in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_rows_of_several_executors_arrive_in_either_order(
    make_executor: MakeExecutor, session: Any, order: int
) -> None:
    executors = [make_executor(cls=cls, start=False) for cls in (HybridExecutor, KubernetesExecutor)][::order]
    for index, executor in enumerate(executors):
        queue(executor, unusable(f"a{index}"), unusable(f"b{index}"))
    run_scheduler(*executors)
    assert [task_id for task_id, _, _ in saved(session)] == ["a0", "a1", "b0", "b1"]


def test_rows_survive_a_garbage_collection_between_taking_and_saving(make_executor: MakeExecutor, session: Any) -> None:
    executor = make_executor()
    queue(executor, *(unusable(f"t{index}") for index in range(5)))
    executor.heartbeat()
    waiting = executor._task_event_logs

    def take() -> Iterator[Any]:
        while waiting:
            yield waiting.popleft()
            gc.collect()

    session.bulk_save_objects(take(), preserve_order=False)
    session.commit()
    assert len(saved(session)) == 5


def test_rows_are_given_up_once_they_are_saved(make_executor: MakeExecutor, session: Any) -> None:
    import weakref

    executor = make_executor()
    queue(executor, unusable("t"))
    executor.heartbeat()
    row = weakref.ref(executor._task_event_logs.popleft())
    gc.collect()
    assert row() is not None
    executor.heartbeat()
    gc.collect()
    assert row() is None


def test_rows_that_nobody_takes_are_bounded() -> None:
    log: Any = EventLog()
    for number in range(MOST_ROWS + 5):
        log.append(number)
    assert len(log) == MOST_ROWS
    assert log[0] == 5
