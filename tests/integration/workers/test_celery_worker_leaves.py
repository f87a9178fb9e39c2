"""A real Celery worker that is told to leave: what waits goes back at once, what runs ends, and the reason is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hybrid_executor.pools.celery_message import read_attempt
from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, runs, wait_until

# Not a queue of the worker that other tests share.
QUEUE = "leaving"


def test_sigterm_returns_what_waits_at_once_and_finishes_what_runs(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE, worker_prefetch_multiplier=4)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [running] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    waiting = fresh_scheduler.submit(*(fresh_scheduler.work(queue=QUEUE) for _ in range(5)))
    wait_until(lambda: fresh_scheduler.unacknowledged() == 4, what="the worker holds as many messages as it may")
    wait_until(
        lambda: fresh_scheduler.record(waiting[0]).received_by == worker.name, what="the records say who has them"
    )
    worker.signal(signal.SIGTERM)
    wait_until(
        lambda: fresh_scheduler.messages(QUEUE) == 5, seconds=5, what="all waiting messages are in the queue again"
    )
    next_messages = fresh_scheduler.store.client.lrange(QUEUE, -3, -1)
    assert {read_attempt(str(message)) for message in next_messages} == set(waiting[:3])
    assert fresh_scheduler.record(running).state is State.RUNNING
    wait_until(
        lambda: fresh_scheduler.worker_fields(worker.name).get("state") == "draining", what="it says that it drains"
    )
    assert all(fresh_scheduler.record(attempt).received_by == "" for attempt in waiting)
    gate.touch()
    assert worker.wait() == 0
    assert fresh_scheduler.record(running).state is State.SUCCEEDED
    assert fresh_scheduler.worker_fields(worker.name) == {}
    assert (fresh_scheduler.messages(QUEUE), fresh_scheduler.unacknowledged()) == (5, 0)


def test_sigquit_ends_what_runs_with_a_reported_reason(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE)
    mark = tmp_path / "ran"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(mark), sleep=60))
    wait_until(lambda: runs(mark), what="the script runs")
    worker.signal(signal.SIGQUIT)
    worker.wait()
    record = fresh_scheduler.wait_for(attempt, State.FAILED)
    assert record.category == "worker_stopped"


def test_a_second_sigterm_ends_what_runs_with_a_reported_reason(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE)
    mark = tmp_path / "ran"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(mark), sleep=60))
    wait_until(lambda: runs(mark), what="the script runs")
    worker.signal(signal.SIGTERM)
    wait_until(
        lambda: fresh_scheduler.worker_fields(worker.name).get("state") == "draining", what="it waits for what runs"
    )
    assert fresh_scheduler.record(attempt).state is State.RUNNING
    worker.signal(signal.SIGTERM)
    worker.wait()
    record = fresh_scheduler.record(attempt)
    assert (record.state, record.category) == (State.FAILED, "worker_stopped")
    assert "told a second time to stop" in record.reason
    assert fresh_scheduler.worker_fields(worker.name) == {}


def test_at_the_deadline_what_runs_is_ended_with_a_reason_that_names_the_option(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE, shutdown_seconds=1)
    mark = tmp_path / "ran"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(mark), sleep=60))
    wait_until(lambda: runs(mark), what="the script runs")
    worker.signal(signal.SIGTERM)
    worker.wait()
    record = fresh_scheduler.record(attempt)
    assert (record.state, record.category) == (State.FAILED, "worker_stopped")
    assert "worker_shutdown_timeout (1 s)" in record.reason


def test_what_a_task_process_was_just_handed_runs_there_and_holds_the_leave_up_no_longer_than_that(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE)
    first, second = tmp_path / "first", tmp_path / "second"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(first)))
    fresh_scheduler.wait_for(attempt, State.SUCCEEDED)
    wait_until(lambda: not fresh_scheduler.unacknowledged(), what="the task process is free")
    [task_process] = runs(first)
    os.kill(task_process, signal.SIGSTOP)
    [handed_out] = fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE, mark=str(second)))
    wait_until(lambda: fresh_scheduler.record(handed_out).received_by == worker.name, what="the worker has the message")
    worker.signal(signal.SIGTERM)
    wait_until(
        lambda: fresh_scheduler.worker_fields(worker.name).get("state") == "draining", what="it says that it drains"
    )
    os.kill(task_process, signal.SIGCONT)
    assert worker.wait() == 0
    assert fresh_scheduler.record(handed_out).state is State.SUCCEEDED
    assert (fresh_scheduler.messages(QUEUE), fresh_scheduler.unacknowledged()) == (0, 0)
    assert runs(second) == [task_process]
