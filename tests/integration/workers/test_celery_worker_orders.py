"""Real workers that are told from afar: drain, take work again, serve other queues, end; and one that is deaf."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid_executor.cli import workers_command
from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, WorkerProcess, runs, wait_until

QUEUE = "ordered"
Tell = Callable[..., int]


@pytest.fixture
def tell(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Return a function that runs one of the commands and returns its exit code."""
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", redis_url)

    def run(command: Callable[[Namespace], None], **arguments: object) -> int:
        try:
            command(Namespace(**arguments))
        except SystemExit as error:
            return int(error.code or 0)
        return 0

    return run


def test_a_drained_worker_gives_back_what_waits_finishes_what_runs_and_can_be_stopped(
    fresh_scheduler: Scheduler,
    start_worker: StartWorker,
    tell: Tell,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    near = fresh_scheduler
    worker = start_worker(queues=QUEUE, worker_prefetch_multiplier=3)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [running] = near.submit(near.work(queue=QUEUE, mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    waiting = near.submit(*(near.work(queue=QUEUE, mark=str(mark)) for _ in range(3)))
    wait_until(lambda: near.unacknowledged() == 3, what="the worker holds as many messages as it may")

    drain = {"worker": worker.name, "queue": None, "undo": False, "wait": False, "timeout": None}
    assert tell(workers_command.drain, **drain) == 0
    assert capsys.readouterr().out == f"{worker.name}: draining, 1 running, queues none\n"
    wait_until(lambda: near.messages(QUEUE) == 3, seconds=5, what="all waiting messages are in the queue again")
    assert near.record(running).state is State.RUNNING
    gate.touch()
    assert tell(workers_command.drain, **(drain | {"wait": True, "timeout": 20.0})) == 0
    assert near.record(running).state is State.SUCCEEDED
    assert near.worker_fields(worker.name)["state"] == "drained"
    assert (near.messages(QUEUE), near.unacknowledged(), len(runs(mark))) == (3, 0, 1)
    assert worker.process.poll() is None

    assert tell(workers_command.drain, **(drain | {"undo": True})) == 0
    for attempt in waiting:
        near.wait_for(attempt, State.SUCCEEDED)
    assert len(runs(mark)) == 4

    assert tell(workers_command.stop, worker=worker.name, all=False) == 0
    assert worker.wait() == 0


def test_draining_a_queue_is_for_its_workers_alone_and_can_be_undone_by_the_queue_too(
    fresh_scheduler: Scheduler,
    worker: WorkerProcess,
    start_worker: StartWorker,
    tell: Tell,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    near, gate, mark = fresh_scheduler, tmp_path / "gate", tmp_path / "ran"
    of_queue = start_worker(queues=f"{QUEUE},beside")
    wait_until(lambda: near.worker_fields(worker.name), what="the shared worker announces itself again")
    drain = {"worker": None, "queue": QUEUE, "undo": False, "wait": True, "timeout": 20.0}

    def states() -> dict[str, str]:
        return {name: near.worker_fields(name)["state"] for name in (of_queue.name, worker.name)}

    assert tell(workers_command.drain, **(drain | {"queue": "unknown"})) == 2
    told = capsys.readouterr().err
    assert told == (
        "airflow hybrid: There is no live worker that serves the queue unknown. "
        f"Live workers: {worker.name}, {of_queue.name}.\n"
    )

    [running] = near.submit(near.work(queue=QUEUE, mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    assert tell(workers_command.drain, **(drain | {"timeout": 0.5})) == 1
    assert states() == {of_queue.name: "draining", worker.name: "running"}
    gate.touch()
    assert tell(workers_command.drain, **drain) == 0
    assert near.record(running).state is State.SUCCEEDED
    assert states() == {of_queue.name: "drained", worker.name: "running"}

    [elsewhere] = near.submit(near.work(queue="default"))
    near.wait_for(elsewhere, State.SUCCEEDED)
    [waiting] = near.submit(near.work(queue=QUEUE))
    assert tell(workers_command.drain, **(drain | {"undo": True})) == 0
    near.wait_for(waiting, State.SUCCEEDED)
    assert near.worker_fields(of_queue.name)["queues"] == f"beside,{QUEUE}"


def test_queues_are_added_and_removed_while_it_works(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tell: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = start_worker(queues=QUEUE)
    assert tell(workers_command.add_queue, worker=worker.name, queue="extra") == 0
    [attempt] = fresh_scheduler.submit(fresh_scheduler.work(queue="extra"))
    fresh_scheduler.wait_for(attempt, State.SUCCEEDED)
    assert tell(workers_command.remove_queue, worker=worker.name, queue=QUEUE) == 0
    capsys.readouterr()
    assert tell(workers_command.workers, json=True) == 0
    [shown] = [row for row in json.loads(capsys.readouterr().out) if row["name"] == worker.name]
    assert (shown["state"], shown["queues"]) == ("running", ["extra"])
    assert shown["heartbeat_age"] < 30
    fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE))
    [after] = fresh_scheduler.submit(fresh_scheduler.work(queue="extra"))
    fresh_scheduler.wait_for(after, State.SUCCEEDED)
    assert fresh_scheduler.messages(QUEUE) == 1


def test_a_deaf_worker_is_noticed_by_the_probe(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE, is_deaf=True)
    probe = [sys.executable, "-m", "hybrid_workers.probe", "-H", worker.name, "--seconds"]
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}

    def ask(seconds: str) -> tuple[int, str]:
        done = subprocess.run([*probe, seconds], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    wait_until(lambda: ask("20")[0] == 0, what="a worker that has nothing to do is well")
    fresh_scheduler.submit(fresh_scheduler.work(queue=QUEUE))
    wait_until(lambda: fresh_scheduler.worker_fields(worker.name)["state"] == "deaf", what="it says that it is deaf")
    wait_until(lambda: "is deaf" in ask("3")[1], what="the probe says so too")
    assert ask("3")[0] == 1
    worker.kill()
    assert ask("20") == (
        1,
        f"no worker named {worker.name} runs here; {worker.name} (pid {worker.process.pid}) is gone\n",
    )
