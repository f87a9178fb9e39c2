"""A worker knows whether Airflow had a task ended, or something else killed it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest
from airflow.sdk.execution_time import supervisor
from airflow.sdk.execution_time.supervisor import ActivitySubprocess

from hybrid_workers.server_orders import forget_orders, note_orders, was_ended_by_airflow
from tests.unit.workers.test_fast_exit import api_server, supervise

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = ActivitySubprocess.wait
    assert note_orders() is True
    once = ActivitySubprocess.wait
    assert note_orders() is True
    assert ActivitySubprocess.wait is once is not before
    monkeypatch.setattr(supervisor, "MIN_HEARTBEAT_INTERVAL", 0.1)
    yield
    ActivitySubprocess.wait = before  # type: ignore[method-assign]
    forget_orders()


def runs_no_more(request: httpx.Request) -> httpx.Response:
    """Answer as Airflow's API server does about a task instance that a person has marked."""
    if request.url.path.endswith("/heartbeat"):
        return httpx.Response(409, json={"detail": {"reason": "not_running", "current_state": "success"}})
    return api_server(request)


def sleep_on() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(60)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_the_api_server_lets_run_no_more_was_ended_by_airflow() -> None:
    code, _ = supervise(sleep_on, answer=runs_no_more)
    assert code != 0
    assert was_ended_by_airflow()
    forget_orders()
    assert not was_ended_by_airflow()


def test_a_task_that_was_killed_otherwise_was_not() -> None:
    supervise(sleep_on, answer=runs_no_more)
    code, _ = supervise(kill_itself)
    assert code == -signal.SIGKILL
    assert not was_ended_by_airflow()
