"""An idle loop of the scheduler waits for the end of a task, and no longer than it is told to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from hybrid_executor.errors import ConfigError, KeyMisused
from hybrid_executor.events import STREAM_START, AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store, Woken
from tests.integration.conftest import make_task, queue
from tests.redis_situations import frozen
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]
WAITING = {"scheduler__scheduler_idle_sleep_time": "0", "hybrid_executor__event_wait": "5"}


@contextmanager
def once_it_waits(redis_url: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread as soon as somebody waits for an event."""

    def run() -> None:
        with redis.Redis.from_url(redis_url) as client:
            wait_until(lambda: client.info("clients")["blocked_clients"], what="the executor waits")
        act()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def finish(store: Store, attempt: AttemptId) -> None:
    store.attempts.claim(attempt, worker="w")
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))


def questions(store: Store) -> int:
    """Return how often somebody waited for events."""
    return int(store.client.info("commandstats").get("cmdstat_xread", {"calls": 0})["calls"])


def test_the_end_of_a_task_is_taken_in_by_the_heartbeat_that_waits_for_it(
    make_executor: MakeExecutor, store: Store, redis_url: str
) -> None:
    executor = make_executor(**WAITING)
    first, second = make_task("first"), make_task("second")
    executor.parallelism = 1
    [attempt, _] = queue(executor, first, second)
    executor.heartbeat()
    assert list(executor.queued_tasks) == [second.ti.key]
    store.client.config_resetstat()
    with once_it_waits(redis_url, lambda: finish(store, attempt)):
        executor.heartbeat()  # there is no slot for the second, so that it waits
    assert set(executor.get_event_buffer()) == {first.ti.key}
    assert questions(store) < 5, "each takes a second at most: the wait was not ended by the event"
    executor.heartbeat()
    assert executor.running == {second.ti.key}


def test_what_happens_to_other_schedulers_attempts_does_not_end_the_wait(
    make_executor: MakeExecutor, store: Store, redis_url: str
) -> None:
    other = make_executor(job_id=2)
    [attempt] = queue(other, make_task())
    other.heartbeat()
    executor = make_executor(**WAITING | {"hybrid_executor__event_wait": "0.5"})
    began = time.monotonic()
    with once_it_waits(redis_url, lambda: finish(store, attempt)):
        executor.heartbeat()
    assert time.monotonic() - began >= 0.5
    assert executor.get_event_buffer() == {}


def test_a_wait_ends_when_airflow_knows_the_end_of_a_task_that_still_runs(
    make_executor: MakeExecutor, store: Store, redis_url: str
) -> None:
    executor = make_executor(**WAITING)
    executor.parallelism = 1
    first, second = make_task("first"), make_task("second")
    [attempt, _] = queue(executor, first, second)
    executor.heartbeat()
    store.attempts.claim(attempt, worker="w")
    executor.sync()
    store.client.config_resetstat()
    with once_it_waits(redis_url, lambda: store.hints.give(attempt)):
        executor.heartbeat()
    assert executor.get_event_buffer() == {}
    assert executor.running == {first.ti.key}
    assert questions(store) < 5, "each takes a second at most: the wait was not ended by the hint"


def test_a_hint_about_another_schedulers_attempt_does_not_end_the_wait(
    make_executor: MakeExecutor, store: Store, redis_url: str
) -> None:
    executor = make_executor(**WAITING | {"hybrid_executor__event_wait": "0.5"})
    began = time.monotonic()
    with once_it_waits(redis_url, lambda: store.hints.give(AttemptId("of another"))):
        executor.heartbeat()
    assert time.monotonic() - began >= 0.5


def test_hints_that_are_no_stream_are_deleted_by_who_waits(store: Store) -> None:
    attempt = AttemptId("a")
    store.client.set(store.keys.hints, "something else", ex=60)
    with pytest.raises(KeyMisused):
        store.hints.give(attempt)
    assert store.events.wait(STREAM_START, seconds=0.01) == Woken(has_events=True)
    store.hints.give(attempt)
    assert store.events.wait(STREAM_START, seconds=0.01) == Woken(has_events=False), "it came before the wait"
    assert 0 < int(str(store.client.ttl(store.keys.hints))) <= 60


def test_a_heartbeat_does_not_wait_for_redis_where_airflow_sleeps_by_itself(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor()
    store.client.config_resetstat()
    executor.heartbeat()
    assert executor.settings.event_wait_seconds == 0
    assert questions(store) == 0


def test_a_heartbeat_that_submits_does_not_wait(make_executor: MakeExecutor, store: Store) -> None:
    executor = make_executor(**WAITING)
    store.client.config_resetstat()
    queue(executor, make_task())
    executor.heartbeat()
    assert questions(store) == 0


def test_while_redis_is_unavailable_only_time_passes(make_executor: MakeExecutor, store: Store, redis_url: str) -> None:
    executor = make_executor(start=False, **WAITING)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        executor.clock.advance(seconds)

    executor.sleep = sleep
    executor.start()
    with frozen(redis_url):
        executor.heartbeat()
        executor.heartbeat()
    assert slept
    assert max(slept) <= 5


def test_a_signal_ends_the_wait(make_executor: MakeExecutor) -> None:
    def leave(number: int, frame: object) -> None:
        raise SystemExit(number)

    executor = make_executor(**WAITING)
    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(SystemExit):
            executor.heartbeat()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 0),
        ({"scheduler__scheduler_idle_sleep_time": "0"}, 1),
        ({"scheduler__scheduler_idle_sleep_time": "0.25"}, 0.75),
        ({"scheduler__scheduler_idle_sleep_time": "3"}, 0),
        ({"scheduler__scheduler_idle_sleep_time": "0", "hybrid_executor__event_wait": "0"}, 0),
        ({"scheduler__scheduler_idle_sleep_time": "0", "core__executor": "LocalExecutor,a.b.C"}, 0),
    ],
)
def test_the_wait_is_what_the_schedulers_own_sleep_leaves(
    make_executor: MakeExecutor, options: dict[str, str], seconds: float
) -> None:
    assert make_executor(start=False, **options).settings.event_wait_seconds == seconds


def test_a_wait_that_would_hold_up_the_schedulers_own_heartbeat_is_refused(make_executor: MakeExecutor) -> None:
    with pytest.raises(ConfigError, match="event_wait = '60' is not valid: write a number of at most 5"):
        make_executor(hybrid_executor__event_wait="60")
