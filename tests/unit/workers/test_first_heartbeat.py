"""The start of a task is its first sign of life; later ones come as often as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from airflow.sdk.execution_time import supervisor
from airflow.sdk.execution_time.supervisor import ActivitySubprocess

from hybrid_workers.first_heartbeat import count_start_as_heartbeat
from tests.unit.workers.test_fast_exit import heartbeats, supervise

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

_INTERVAL_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(supervisor, "MIN_HEARTBEAT_INTERVAL", _INTERVAL_SECONDS)
    before = ActivitySubprocess._send_heartbeat_if_needed
    heartbeats.clear()
    yield
    ActivitySubprocess._send_heartbeat_if_needed = before  # type: ignore[method-assign]


def write_and_end() -> None:
    print("words", flush=True)
    time.sleep(0.1)


def write_on() -> None:
    for _ in range(30):
        print("words", flush=True)
        time.sleep(0.1)


def test_without_it_each_task_sends_a_heartbeat_at_once() -> None:
    assert supervise(write_and_end)[0] == 0
    assert len(heartbeats) == 1


def test_a_short_task_sends_none() -> None:
    assert count_start_as_heartbeat() is True
    assert supervise(write_and_end)[0] == 0
    assert heartbeats == []


def test_a_long_task_sends_them_as_often_as_before() -> None:
    assert count_start_as_heartbeat() is True
    once = ActivitySubprocess._send_heartbeat_if_needed
    assert count_start_as_heartbeat() is True
    assert ActivitySubprocess._send_heartbeat_if_needed is once
    begun = time.monotonic()
    code, ended = supervise(write_on)
    assert code == 0
    assert heartbeats[0] - begun >= _INTERVAL_SECONDS
    between = [later - earlier for earlier, later in pairwise(heartbeats)]
    assert all(seconds >= _INTERVAL_SECONDS * 0.9 for seconds in between)
    assert len(heartbeats) >= (ended - begun) / _INTERVAL_SECONDS / 2


def test_another_sdk_is_left_as_it_is() -> None:
    class Other:
        def _send_heartbeat_if_needed(self) -> None: ...

    before = Other._send_heartbeat_if_needed
    assert count_start_as_heartbeat(Other) is False
    assert Other._send_heartbeat_if_needed is before
