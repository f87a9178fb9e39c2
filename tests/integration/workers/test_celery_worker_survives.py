"""Task processes die, messages come twice, Redis forgets: a real worker tells at once and runs nothing twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery  # type: ignore[import-untyped]

from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.conftest import RedisServer
from tests.integration.workers.near_side import Scheduler, WorkerProcess, runs, wait_until
from tests.processes import is_alive


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_task_process_is_reported_at_once_with_the_signal(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    [attempt] = scheduler.submit(scheduler.work(mark=str(mark), sleep=60))
    [pid] = wait_until(lambda: runs(mark), what="the script runs")
    os.kill(pid, signal.SIGKILL)
    record = scheduler.wait_for(attempt, State.FAILED, seconds=3)
    assert "killed by signal 9 (SIGKILL)" in record.reason
    assert (record.exit_code, record.holder) == ("-9", worker.name)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    scheduler.wait_until_acknowledged()
    assert len(runs(mark)) == 1


def test_a_workload_does_not_outlive_its_task_process(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, forked = tmp_path / "ran", tmp_path / "forked"
    scheduler.submit(scheduler.work(mark=str(mark), forks=str(forked), sleep=60))
    wait_until(lambda: forked.exists() and forked.read_text(), what="the workload has a process of its own")
    assert exists(int(forked.read_text()))
    os.kill(runs(mark)[0], signal.SIGKILL)
    wait_until(lambda: not exists(int(forked.read_text())), what="that process is gone")


def test_a_hard_time_limit_is_reported(scheduler: Scheduler, worker: WorkerProcess) -> None:
    submission = scheduler.pool.prepare(scheduler.work(sleep=60))
    message = json.loads(submission.message)
    message["headers"]["timelimit"] = [1, None]
    scheduler.store.attempts.submit([replace(submission, message=json.dumps(message))])
    record = scheduler.wait_for(submission.attempt, State.FAILED)
    assert (record.category, "hard time limit of 1 s" in record.reason) == ("time_limit", True)


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """The file for the pids of a workload's processes; what a failed test leaves of them is ended."""
    file = tmp_path / "pids"
    yield file
    for pid in runs(file):
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def fail_with_a_tree(
    scheduler: Scheduler, pids: Path, script: dict[str, Any], limits: tuple[int | None, int | None] = (None, None)
) -> Record:
    """Run a script below which two processes run; return the record of its failure."""
    submission = scheduler.pool.prepare(scheduler.work(tree=str(pids), **script))
    message = json.loads(submission.message)
    message["headers"]["timelimit"] = limits
    scheduler.store.attempts.submit([replace(submission, message=json.dumps(message))])
    record = scheduler.wait_for(submission.attempt, State.FAILED)
    assert [pid for pid in runs(pids) if is_alive(pid)] == []
    return record


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"os_error": True}, "OSError: the API server's connection is gone"),
        ({"raise": "no heartbeat"}, "RuntimeError: no heartbeat"),
        ({"memory_error": True}, "found no more memory"),
        ({"exit": 3}, "exit code 3"),
    ],
)
def test_nothing_of_an_attempt_runs_any_more_when_it_counts_as_failed(
    scheduler: Scheduler, worker: WorkerProcess, pids: Path, script: dict[str, Any], words: str
) -> None:
    assert words in fail_with_a_tree(scheduler, pids, script).reason
    assert len(runs(pids)) == 2


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_nothing_of_an_attempt_runs_any_more_when_its_time_is_over(
    scheduler: Scheduler, worker: WorkerProcess, pids: Path, kind: str
) -> None:
    for limit in (2, 8, 32, 128):
        limits = (None, limit) if kind == "soft" else (limit, None)
        record = fail_with_a_tree(scheduler, pids, {"sleep": 600}, limits)
        assert ("soft time limit" if kind == "soft" else f"hard time limit of {limit} s") in record.reason
        if len(runs(pids)) == 2:
            return
        pids.unlink(missing_ok=True)  # its processes had not started: this machine is slow
    pytest.fail("its processes never started")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGQUIT"])
def test_what_a_control_command_ends_is_gone_when_it_counts_as_failed_with_the_signals_name(
    scheduler: Scheduler, worker: WorkerProcess, redis_server: RedisServer, pids: Path, name: str
) -> None:
    [attempt] = scheduler.submit(scheduler.work(tree=str(pids), sleep=60))
    wait_until(lambda: len(runs(pids)) == 2, seconds=40, what="the workload has its processes")
    with Celery(broker=redis_server.url, set_as_current=False) as app:
        app.control.revoke(attempt, terminate=True, signal=name)
    record = scheduler.wait_for(attempt, State.FAILED, seconds=40)
    assert [pid for pid in runs(pids) if is_alive(pid)] == []
    number = signal.Signals[name].value
    assert record.reason == f"Ended by a Celery control command with signal {number} ({name})"
    assert (record.category, record.exit_code) == ("revoked", f"-{number}")


def test_a_redelivery_of_what_runs_is_ignored_however_long_it_runs(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    work = scheduler.work(mark=str(mark), until=str(gate))
    [attempt] = scheduler.submit(work)
    wait_until(lambda: runs(mark), what="the script runs")
    scheduler.push(scheduler.pool.prepare(work).message)
    [after] = scheduler.submit(scheduler.work())
    scheduler.wait_for(after, State.SUCCEEDED)
    wait_until(lambda: not scheduler.messages(), what="the second delivery is taken")
    assert scheduler.record(attempt).state is State.RUNNING
    gate.touch()
    scheduler.wait_for(attempt, State.SUCCEEDED)
    assert len(runs(mark)) == 1


def test_a_ready_worker_says_who_it_is_and_what_it_runs(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    [attempt] = scheduler.submit(scheduler.work(until=str(gate), queue="other"))
    scheduler.wait_for(attempt, State.RUNNING)
    wait_until(lambda: attempt in scheduler.running_on(worker), what="it lists what it runs")
    fields = scheduler.worker_fields(worker.name)
    assert (fields["queues"], fields["concurrency"], fields["state"]) == ("default,other", "2", "running")
    assert int(fields["pid"]) == worker.process.pid
    assert json.loads(fields["running"]) == [attempt]
    assert int(fields["consumed_at"]) >= int(fields["started_at"])
    gate.touch()
    scheduler.wait_for(attempt, State.SUCCEEDED)


def test_the_end_of_what_ran_while_redis_lost_its_data_is_recorded(
    scheduler: Scheduler, worker: WorkerProcess, tmp_path: Path
) -> None:
    mark, gate = tmp_path / "ran", tmp_path / "gate"
    [attempt] = scheduler.submit(scheduler.work(mark=str(mark), until=str(gate)))
    wait_until(lambda: runs(mark), what="the script runs")
    wait_until(lambda: attempt in scheduler.running_on(worker), what="it lists what it runs")
    scheduler.store.client.flushall()
    gate.touch()
    wait_until(lambda: scheduler.store.attempts.records([attempt])[0], what="the record is written again")
    record = scheduler.wait_for(attempt, State.SUCCEEDED)
    assert (record.owner, record.holder) == ("1", worker.name)
    assert len(runs(mark)) == 1
