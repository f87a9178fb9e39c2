"""A Redis that answers and refuses, under a real worker: nothing is lost, nothing runs twice, the log stays short."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.states import State
from hybrid_workers.probe import probe
from tests.integration.redis_installed import Server
from tests.integration.workers.near_side import Scheduler, WorkerProcess, runs, start_worker_process, wait_until
from tests.redis_acl import PASSWORD, create_user, documented_rules
from tests.redis_situations import SITUATIONS, full


@pytest.fixture(scope="module")
def near(server: Server) -> Iterator[Scheduler]:
    scheduler = Scheduler(f"redis://127.0.0.1:{server.port}/0")
    yield scheduler
    scheduler.store.close()


@pytest.fixture(scope="module")
def worker(
    server: Server, near: Scheduler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WorkerProcess, Path]]:
    directory = tmp_path_factory.mktemp("worker")
    url = f"redis://127.0.0.1:{server.port}/0"
    started = start_worker_process(url, "refused@test", directory, concurrency=2)
    wait_until(lambda: near.worker_fields(started.name), seconds=40, what="the worker is ready")
    yield started, directory
    started.kill()


# What each server answers in each situation, and how that is read, is tested without a worker.
@pytest.mark.parametrize("code", os.environ.get("HYBRID_TEST_REFUSALS", "READONLY OOM MISCONF LOADING").split())
def test_an_outage_by_refusal_loses_nothing_runs_nothing_twice_and_is_said_once(
    server: Server,
    near: Scheduler,
    worker: tuple[WorkerProcess, Path],
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process, home = worker
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    before = len(process.output)
    [running] = near.submit(near.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    with SITUATIONS[code](server):
        wait_until(lambda: "The store is unavailable; what runs" in process.output[before:], what="it is noticed")
        gate.touch()
        why = "Redis is loading its data" if code == "LOADING" else "Redis refuses"
        wait_until(lambda: probe() == 0 and f"and waits: {why}" in capsys.readouterr().out, what="it is shown")
    near.wait_for(running, State.SUCCEEDED, seconds=40)
    said = process.output[before:]
    [late] = near.submit(near.work(mark=str(mark)))
    near.wait_for(late, State.SUCCEEDED, seconds=40)
    near.wait_until_acknowledged()
    assert len(runs(mark)) == 2
    # A server that loads its data was unreachable before.
    told = re.findall(r"The store is unavailable; what runs goes on: (.*)", said)
    assert len(told) == len(set(told)) == said.count("The store is unavailable; what runs")
    assert len(told) <= (2 if code == "LOADING" else 1)
    assert "Traceback" not in said, said
    assert said.count("\n") < 40


def test_what_a_full_redis_refuses_is_kept_by_the_worker_an_end_and_a_message_that_was_not_started(
    server: Server, near: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("HYBRID_TEST_REPORT", "0.5")
    worker = start_worker_process(f"redis://127.0.0.1:{server.port}/0", "kept@test", tmp_path, queues="kept")
    request.addfinalizer(worker.kill)
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    works = [near.work(queue="kept", mark=str(mark), until=str(gate)) for _ in range(2)]
    first, second = near.submit(*works)
    wait_until(lambda: runs(mark), seconds=40, what="the first script runs")
    wait_until(lambda: near.messages("kept") == 1, what="the second message waits")
    refused = "The broker does not serve this worker, which waits: Redis refuses writes: maxmemory reached (OOM)"
    with full(server):
        gate.touch()
        wait_until(lambda: "could not be reported and is kept" in worker.output, what="the slot is free again")
        wait_until(lambda: refused in worker.output, what="the worker took the message and cannot note that")
        # Some servers refuse the acknowledgement of the first one as well.
        assert (near.messages("kept"), len(runs(mark))) == (0, 1)
    for attempt in (first, second):
        assert near.wait_for(attempt, State.SUCCEEDED, seconds=40).reason == ""
    near.wait_until_acknowledged()
    assert len(runs(mark)) == 2
    assert worker.output.count(refused) == 1
    assert "Traceback" not in worker.output


def test_a_worker_whose_user_is_changed_while_it_runs_waits_and_goes_on(
    server: Server, near: Scheduler, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    user, rules = documented_rules()["worker"]
    create_user(server.client, user, [*rules, "~guarded*"])
    url = f"redis://{user}:{PASSWORD}@127.0.0.1:{server.port}/0"
    worker = start_worker_process(url, "guarded@test", tmp_path, queues="guarded")
    request.addfinalizer(worker.kill)
    wait_until(lambda: near.worker_fields(worker.name), seconds=40, what="the worker is ready")
    mark = tmp_path / "ran"

    def connections() -> int:
        return int(server.client.info("stats")["total_connections_received"])

    def is_waiting(words: str) -> None:
        wait_until(lambda: words in worker.output, what=words)
        before, since = connections(), time.monotonic()
        wait_until(lambda: time.monotonic() - since > 2, what="two seconds to count connections in")
        assert connections() - before < 30

    server.client.execute_command("ACL", "SETUSER", user, "-brpop")
    is_waiting("The broker does not serve this worker, which waits: Redis refuses a command: a permission is missing")
    server.client.execute_command("ACL", "SETUSER", user, "+brpop")
    [first] = near.submit(near.work(queue="guarded", mark=str(mark)))
    near.wait_for(first, State.SUCCEEDED, seconds=40)
    server.client.execute_command("ACL", "SETUSER", user, "resetpass", ">another")
    server.client.execute_command("CLIENT", "KILL", "USER", user)
    is_waiting("The store is unavailable; what runs goes on: Redis refuses user or password")
    server.client.execute_command("ACL", "SETUSER", user, f">{PASSWORD}")
    [second] = near.submit(near.work(queue="guarded", mark=str(mark)))
    near.wait_for(second, State.SUCCEEDED, seconds=40)
    near.wait_until_acknowledged()
    assert len(runs(mark)) == 2
    assert worker.process.poll() is None
    assert "Traceback" not in worker.output
    assert PASSWORD not in worker.output
