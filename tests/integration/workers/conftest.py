"""Workers that tests start, and one that tests which leave it whole may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.conftest import RedisServer
from tests.integration.workers.near_side import Scheduler, WorkerProcess, start_worker_process, wait_until
from tests.leaks import shared

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def fresh_scheduler(redis_url: str) -> Iterator[Scheduler]:
    """A scheduler's side of an empty Redis."""
    near_side = Scheduler(redis_url)
    yield near_side
    near_side.store.close()


@pytest.fixture
def start_worker(redis_url: str, fresh_scheduler: Scheduler, tmp_path: Path) -> Iterator[StartWorker]:
    """Return a function that starts a worker and waits until it is ready."""
    workers: list[WorkerProcess] = []

    def start(**options: Any) -> WorkerProcess:
        worker = start_worker_process(redis_url, f"worker{len(workers)}@test", tmp_path, **options)
        workers.append(worker)
        wait_until(
            lambda: fresh_scheduler.worker_fields(worker.name), seconds=40, what=f"{worker.name} announces itself"
        )
        return worker

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="package")
def scheduler(redis_server: RedisServer) -> Iterator[Scheduler]:
    """A scheduler's side of a Redis that tests share."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    near_side = Scheduler(redis_server.url)
    yield near_side
    near_side.store.close()


@pytest.fixture(scope="package")
def worker(
    redis_server: RedisServer, scheduler: Scheduler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker with two task processes that tests share."""
    directory = tmp_path_factory.mktemp("worker")
    with shared():
        started = start_worker_process(
            redis_server.url, "shared@test", directory, concurrency=2, queues="default,other"
        )
    wait_until(lambda: scheduler.worker_fields(started.name), seconds=40, what="the shared worker is ready")
    yield started
    started.kill()
