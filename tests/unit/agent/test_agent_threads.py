"""Pools, batches and supervised threads."""

from __future__ import annotations

import logging
import threading
from contextlib import closing

import pytest
from fakeredis import FakeRedis

from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.launch.intake import LaunchIntake
from hybrid_executor.agent.launch.recording import Batcher
from hybrid_executor.agent.process import start_supervised
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, StreamId
from hybrid_executor.store import LaunchEntry, Store

PATIENCE = 10.0


def test_a_job_that_waits_for_its_time_keeps_no_thread_busy() -> None:
    pool = DelayedPool("test", threads=1)
    ran = threading.Event()
    pool.submit_after(3600, lambda: None)
    pool.submit(ran.set)
    assert ran.wait(PATIENCE)
    assert pool.delayed == 1
    assert pool.close(seconds=PATIENCE)


def test_delayed_jobs_run_in_the_order_of_their_times() -> None:
    pool, order, done = DelayedPool("test", threads=1), list[int](), threading.Event()
    pool.submit_after(0.05, lambda: (order.append(2), done.set())[0])
    pool.submit_after(0.0, lambda: order.append(1))
    assert done.wait(PATIENCE)
    pool.close(seconds=PATIENCE)
    assert order == [1, 2]


def test_a_job_that_raises_is_logged_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("boom")

    pool, ran = DelayedPool("test", threads=1), threading.Event()
    pool.submit(fail)
    pool.submit(ran.set)
    assert ran.wait(PATIENCE)
    pool.close(seconds=PATIENCE)
    assert "boom" in caplog.text


def test_a_closed_pool_finishes_what_runs_and_takes_nothing_new() -> None:
    pool, go, ran = DelayedPool("test", threads=1), threading.Event(), list[str]()
    pool.submit(lambda: (go.wait(PATIENCE), ran.append("first"))[1])
    assert not pool.close(seconds=0.01)
    go.set()
    pool.submit(lambda: ran.append("second"))
    assert pool.close(seconds=PATIENCE)
    assert ran == ["first"]


def test_items_are_worked_on_by_the_batch_in_their_order() -> None:
    batches: list[list[int]] = []
    go = threading.Event()

    def work(batch: list[int]) -> None:
        go.wait(PATIENCE)
        batches.append(batch)

    batcher = Batcher("test", work)
    for number in range(100):
        batcher.put(number)
    go.set()
    batcher.close(seconds=PATIENCE)
    assert [number for batch in batches for number in batch] == list(range(100))
    assert len(batches) < 100


def test_a_batch_is_repeated_until_redis_is_back() -> None:
    tries: list[list[str]] = []

    def work(batch: list[str]) -> None:
        tries.append(batch)
        if len(tries) < 3:
            raise StoreUnavailable("away")

    batcher = Batcher("test", work)
    batcher.put("x")
    batcher.close(seconds=PATIENCE)
    assert tries == [["x"]] * 3


def test_a_thread_that_dies_is_logged_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    stop, lives = threading.Event(), list[int]()

    def target() -> None:
        lives.append(1)
        if len(lives) == 1:
            raise KeyError("nobody thought of this")
        stop.wait(PATIENCE)

    thread = start_supervised("part", target, stop)
    while len(lives) < 2:
        assert thread.is_alive()
        stop.wait(0.01)
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert "part died and is started again" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_entry_delivered_twice_is_worked_on_once() -> None:
    entry = LaunchEntry(id=StreamId("1-1"), op="launch", attempt=AttemptId("a"), generation=1)
    with closing(FakeRedis(decode_responses=True)) as client:
        store = Store(client, instance="test")
        client.xadd(store.keys.launch("c"), {"op": "launch", "attempt": "a", "generation": 1}, id=entry.id)
        accepted = list[LaunchEntry]()
        first, second = (
            LaunchIntake(stream, cluster="c", take_over_seconds=0.0, accept=accepted.append)
            for stream in (store.launches("c", consumer=name) for name in ("first", "second"))
        )
        store.launches("c", consumer="first").prepare()
        first.take(count=1, wait_milliseconds=1)
        first.take_over_due(now=0.0, room=lambda: 1 if len(first) < 2 else 0)
        assert (accepted, len(first)) == ([entry], 1)
        second.take_over_due(now=0.0, room=lambda: 1)
        assert (accepted, len(second)) == ([entry, entry], 1), "another agent has no part in what this one holds"
        first.drop(entry)
        assert len(first) == 0
