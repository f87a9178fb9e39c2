"""A worker has a name of its own and at least one task process, and shows how many it has."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery  # type: ignore[import-untyped]

from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, WorkerProcess, start_worker_process, wait_until


@pytest.fixture
def control(redis_url: str) -> Iterator[Any]:
    with Celery(broker=redis_url, set_as_current=False) as app:
        yield app.control


def shown_size(scheduler: Scheduler, worker: WorkerProcess) -> tuple[str, str]:
    fields = scheduler.worker_fields(worker.name)
    return fields["concurrency"], fields["processes"]


def test_the_shown_size_follows_celerys_commands_and_is_never_nothing(
    start_worker: StartWorker, fresh_scheduler: Scheduler, control: Any
) -> None:
    worker = start_worker(concurrency=1)
    for order, by, size in ((control.pool_grow, 2, "3"), (control.pool_shrink, 2, "1"), (control.pool_shrink, 1, "1")):
        order(by)
        wait_until(
            lambda size=size: shown_size(fresh_scheduler, worker) == (size, size),
            what=f"the worker shows {size} task processes",
        )
    wait_until(lambda: "There is no task process left" in worker.output, what="the worker says that it keeps one")
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work())
    fresh_scheduler.wait_for(attempt, State.SUCCEEDED)


def test_a_worker_that_starts_without_processes_makes_them_at_need(
    start_worker: StartWorker, fresh_scheduler: Scheduler, control: Any
) -> None:
    worker = start_worker(arguments=["--autoscale", "2,0"])
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work())
    fresh_scheduler.wait_for(attempt, State.SUCCEEDED, seconds=40)
    assert shown_size(fresh_scheduler, worker)[0] == "2"
    control.autoscale(0, 0)
    wait_until(lambda: "No task process is allowed" in worker.output, what="the worker says that it allows one")
    [after] = fresh_scheduler.submit(fresh_scheduler.work())
    fresh_scheduler.wait_for(after, State.SUCCEEDED, seconds=40)


def test_celerys_own_command_refuses_to_run_without_processes(redis_url: str, tmp_path: Path) -> None:
    worker = start_worker_process(redis_url, "none@test", tmp_path, arguments=["--autoscale", "0,0"])
    assert worker.wait() == 1
    assert "--autoscale 0,0 is not valid" in worker.output


def test_a_second_worker_of_a_name_is_refused_and_a_dead_ones_name_is_free_at_once(
    start_worker: StartWorker, fresh_scheduler: Scheduler, redis_url: str, tmp_path: Path
) -> None:
    first = start_worker()
    life = fresh_scheduler.worker_fields(first.name)["life"]
    (tmp_path / "second").mkdir()
    second = start_worker_process(redis_url, first.name, tmp_path / "second")
    assert second.wait() == 1
    assert f"A worker named {first.name} is running already" in second.output
    assert fresh_scheduler.worker_fields(first.name)["life"] == life
    first.kill()
    again = start_worker_process(redis_url, first.name, tmp_path / "second")
    try:
        wait_until(
            lambda: fresh_scheduler.worker_fields(first.name).get("life", life) != life,
            seconds=60,
            what="the name belongs to the new worker",
        )
    finally:
        again.kill()


def test_of_two_that_start_together_one_stays_and_the_other_says_why_it_leaves(
    fresh_scheduler: Scheduler, redis_url: str, tmp_path: Path
) -> None:
    workers = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        workers.append(start_worker_process(redis_url, "twin@test", tmp_path / place))
    try:
        wait_until(lambda: [w for w in workers if w.process.poll() is not None], seconds=90, what="one has left")
        [left] = [worker for worker in workers if worker.process.poll() is not None]
        [stays] = [worker for worker in workers if worker is not left]
        assert "A worker named twin@test is running already" in left.output
        wait_until(lambda: fresh_scheduler.worker_fields("twin@test"), what="the other one is heard of")
        assert fresh_scheduler.worker_fields("twin@test")["pid"] == str(stays.process.pid)
        [attempt] = fresh_scheduler.submit(fresh_scheduler.work())
        assert fresh_scheduler.wait_for(attempt, State.SUCCEEDED).holder == "twin@test"
        stays.signal(signal.SIGTERM)
        assert stays.wait() == 0
        assert fresh_scheduler.worker_fields("twin@test") == {}
    finally:
        for worker in workers:
            worker.kill()
