"""The end of a worker's leave: what is killed when, and what is said of it first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_executor.states import State
from hybrid_executor.store import Store
from hybrid_workers.departure import GRACE_SECONDS, RECORD_SECONDS, Departure
from hybrid_workers.reports import Reports
from tests.unit.workers.conftest import ATTEMPT, WORKER, record_of
from tests.waiting import PATIENCE_SECONDS

Submit = Callable[..., None]


@pytest.fixture
def task_process() -> Iterator[subprocess.Popen[str]]:
    """A task process with the process of a workload below it; it prints the signal that ended that one."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)'])\n"
        "print('ended by', child.wait(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def departure(reports: Reports, *pids: int, timeout_seconds: float = 0) -> Departure:
    requests: list[Any] = [SimpleNamespace(id=ATTEMPT, worker_pid=pid) for pid in pids]
    return Departure(timeout_seconds=timeout_seconds, reports=reports, active=lambda: requests)


def test_the_workload_may_clean_up_before_its_task_process_is_killed(
    store: Store, task_process: subprocess.Popen[str]
) -> None:
    reports = Reports()
    leave = departure(reports, task_process.pid)
    leave.told(0)
    leave.told(1)
    leave.advance(1)
    reports.deliver(store.attempts, worker=WORKER)
    leave.advance(1.1)
    assert task_process.stdout is not None
    assert task_process.stdout.readline() == f"ended by {-signal.SIGTERM}\n"
    leave.advance(1.1 + GRACE_SECONDS / 2)
    assert task_process.poll() is None
    leave.advance(1.1 + GRACE_SECONDS)
    assert task_process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_nothing_is_told_to_end_before_its_reason_is_recorded_while_redis_answers(
    monkeypatch: pytest.MonkeyPatch, task_process: subprocess.Popen[str]
) -> None:
    killed: list[int] = []
    reports = Reports()
    leave = departure(reports, task_process.pid)
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda pid, number: killed.append(number))
        leave.told(0)
        leave.told(1)
        leave.advance(1)
        leave.advance(1 + RECORD_SECONDS / 2)
        assert (len(reports), killed) == (1, [])
        leave.advance(1 + RECORD_SECONDS)
        assert killed == [signal.SIGTERM]


def test_the_reason_is_said_before_anything_ends(store: Store, submit: Submit) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token=f"{os.getpid()}-x")
    reports = Reports()
    leave = departure(reports, os.getpid(), timeout_seconds=30)
    leave.told(0)
    leave.advance(29)
    assert len(reports) == 0
    leave.advance(30)
    reports.deliver(store.attempts, worker=WORKER)
    record = record_of(store)
    assert (record.state, record.category) == (State.FAILED, "worker_stopped")
    assert "worker_shutdown_timeout (30 s)" in record.reason


def test_without_a_limit_what_runs_may_run_for_ever() -> None:
    reports = Reports()
    leave = departure(reports, os.getpid())
    leave.told(0)
    leave.advance(10**9)
    assert len(reports) == 0


def test_a_worker_that_was_told_nothing_stays() -> None:
    reports = Reports()
    departure(reports, os.getpid(), timeout_seconds=1).advance(10**9)
    assert len(reports) == 0
