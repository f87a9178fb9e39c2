"""A supervisor notices the end of its process at once, and loses nothing by it."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.executors.workloads import BundleInfo
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time import supervisor
from airflow.sdk.execution_time.supervisor import ActivitySubprocess, WatchedSubprocess

from hybrid_workers.fast_exit import end_waits_with_the_process

# Airflow leaves one end of a pair of sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def fast_exit() -> Iterator[None]:
    before = WatchedSubprocess._register_pipe_readers
    assert end_waits_with_the_process() is True
    yield
    WatchedSubprocess._register_pipe_readers = before  # type: ignore[method-assign]


RUN = {
    "dag_run": {
        "dag_id": "d",
        "run_id": "r",
        "logical_date": None,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": "2026-01-01T00:00:00Z",
        "start_date": "2026-01-01T00:00:00Z",
        "end_date": None,
        "clear_number": 0,
        "run_type": "manual",
        "state": "running",
        "conf": {},
        "consumed_asset_events": [],
        "partition_key": None,
    },
    "max_tries": 0,
    "should_retry": False,
}


heartbeats: list[float] = []


def api_server(request: httpx.Request) -> httpx.Response:
    """Answer what a supervisor asks while a task runs; note its heartbeats."""
    if request.url.path.endswith("/heartbeat"):
        heartbeats.append(time.monotonic())
    return httpx.Response(200, json=RUN) if request.url.path.endswith("/run") else httpx.Response(204)


def supervise(
    target: Callable[[], None], *, answer: Callable[[httpx.Request], httpx.Response] = api_server
) -> tuple[int, float]:
    """Return the exit code of a supervised process and when, by the monotonic clock, its supervisor was done."""
    process: Any = ActivitySubprocess.start(
        what=TaskInstance(
            id=uuid.uuid4(), task_id="t", dag_id="d", run_id="r", try_number=1, dag_version_id=uuid.uuid4()
        ),
        dag_rel_path="dag.py",
        bundle_info=BundleInfo(name="b"),
        client=Client(base_url="http://api", token="", transport=httpx.MockTransport(answer)),
        target=target,
    )
    code = process.wait()
    ended = time.monotonic()
    process.stdin.close()
    return int(code), ended


def close_everything_and_exit(note: Path) -> None:
    """End as a task does: its sockets first, its process a little later. Notes when, by the monotonic clock."""
    os.closerange(0, 1024)
    time.sleep(0.2)
    note.write_text(str(time.monotonic()))
    os._exit(3)


def close_everything_and_work_on() -> None:
    os.closerange(0, 1024)
    time.sleep(1.5)
    os._exit(0)


def write_and_exit() -> None:
    for number in range(500):
        print(f"line {number} " + "x" * 200)
    sys.stdout.flush()
    os._exit(0)


@pytest.mark.usefixtures("fast_exit")
def test_a_process_that_closed_its_sockets_is_noticed_at_once(tmp_path: Path) -> None:
    delays = []
    for number in range(4):
        note = tmp_path / str(number)
        code, noticed = supervise(partial(close_everything_and_exit, note))
        assert code == 3
        delays.append(noticed - float(note.read_text()))
    # The best of some, since a busy machine may keep any one of them waiting; the supervisor itself looks every 5 s.
    assert 0 < min(delays) < 2


@pytest.mark.usefixtures("fast_exit")
def test_no_line_of_a_process_that_exits_at_once_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = supervise(write_and_exit)
    lines = capfd.readouterr().out
    assert code == 0
    assert all(f"line {number} x" in lines for number in range(500))


@pytest.mark.usefixtures("fast_exit")
def test_a_process_that_closed_its_sockets_and_works_on_keeps_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MIN_HEARTBEAT_INTERVAL", 0.2)
    heartbeats.clear()
    code, ended = supervise(close_everything_and_work_on)
    assert code == 0
    assert len(heartbeats) >= 4
    assert all(heartbeat < ended for heartbeat in heartbeats)


def test_doing_it_twice_is_doing_it_once(fast_exit: None) -> None:
    once = WatchedSubprocess._register_pipe_readers
    assert end_waits_with_the_process() is True
    assert WatchedSubprocess._register_pipe_readers is once


def test_a_task_sdk_that_looks_different_is_left_alone() -> None:
    class Different:
        pass

    assert end_waits_with_the_process(Different) is False
    assert not hasattr(Different, "_register_pipe_readers")
