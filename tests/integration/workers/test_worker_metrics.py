"""The numbers of a worker, as a real StatsD server gets them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, runs, wait_until
from tests.statsd_listener import StatsdListener, check_against_the_table, names_of


def test_every_metric_of_workers_is_sent_as_the_table_says(
    start_worker: StartWorker, fresh_scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    with StatsdListener() as statsd:
        for name, value in statsd.environment().items():
            monkeypatch.setenv(name, value)
        # A queue of its own: a worker that other tests share serves the default queue.
        worker = start_worker(queues="metrics")
        [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="metrics", mark=str(mark), sleep=60))
        [pid] = wait_until(lambda: runs(mark), what="the script runs")
        os.kill(pid, signal.SIGKILL)
        failed = fresh_scheduler.wait_for(attempt, State.FAILED)
        client = fresh_scheduler.store.client
        client.config_set("maxmemory", "1")
        try:
            wait_until(lambda: statsd.total("redis.errors", role="worker", code="OOM") >= 1, what="the refusal")
        finally:
            client.config_set("maxmemory", "0")
        wait_until(
            lambda: names_of("worker", "all") <= statsd.names(), what=lambda: (failed, statsd.names(), worker.output)
        )
        check_against_the_table(statsd.samples)
        assert statsd.total("worker.processes_lost", category="signal") == 1
