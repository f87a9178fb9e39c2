"""Repairs that only the owner can do: workers that died or were restarted, and messages that reached nobody."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import redis
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import update

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue, repaired, wait_for
from tests.integration.rows import open_session, queue_again
from tests.redis_situations import frozen

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


def start_on_worker(
    executor: Any, store: Store, workload: Any, worker: str = "gone", *, seconds_ago: float = 60
) -> AttemptId:
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker=worker)
    executor.heartbeat()
    executor.clock.advance(seconds_ago)
    return attempt


def set_state(workload: Any, state: str) -> None:
    with closing(open_session()) as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == workload.ti.id).values(state=state))
        session.commit()


def test_a_task_whose_worker_and_heartbeat_are_silent_is_failed_as_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=120))
    start_on_worker(executor, store, workload)
    state, info = repaired(executor)["task"]
    assert state == "failed"
    assert "worker lost" in info
    assert "gone" in info


@pytest.mark.parametrize("state", ["success", "deferred"])
def test_a_task_that_told_airflow_of_its_good_end_does_not_fail_when_its_worker_is_lost_before_it_reports(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str
) -> None:
    executor = make_executor()
    workload = make_row(state=state, heard=timedelta(seconds=120))
    attempt = start_on_worker(executor, store, workload)
    assert repaired(executor)["task"][0] == "success"
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.reason) == (State.SUCCEEDED, "")


def test_a_task_that_sends_heartbeats_is_left_alone_when_its_worker_is_cut_off(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=1))
    start_on_worker(executor, store, workload)
    assert repaired(executor) == {}
    assert executor.running == {workload.ti.key}


def test_a_task_of_a_living_worker_is_left_alone(make_executor: MakeExecutor, make_row: MakeRow, store: Store) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=120))
    attempt = start_on_worker(executor, store, workload, "alive")
    store.presence.announce("worker", "alive", {"running": json.dumps([attempt])}, seconds=30)
    assert repaired(executor) == {}


def test_a_worker_that_was_restarted_under_its_name_does_not_hide_what_it_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    store.presence.announce("worker", "restarted", {"running": "[]", "held": "[]"}, seconds=30)
    start_on_worker(executor, store, make_row(state="running", heard=timedelta(seconds=120)), "restarted")
    state, info = repaired(executor)["task"]
    assert (state, info) == ("failed", "worker lost: restarted disappeared without a report of how it ended")


def test_what_has_just_started_is_not_missed_in_its_workers_announcement(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=120))
    start_on_worker(executor, store, workload, seconds_ago=0)
    assert repaired(executor) == {}


def test_nobody_is_taken_for_lost_who_could_not_be_heard_because_redis_was_away(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    executor = make_executor(hybrid_executor__worker_lost_after="5", hybrid_executor__repair_interval="1")
    start_on_worker(executor, store, make_row(state="running", heard=timedelta(seconds=120)))
    with frozen(redis_url):
        executor.heartbeat()
        assert "Redis unavailable" in caplog.text
    wait_for(lambda: (executor.heartbeat(), "Redis is available again" in caplog.text)[1])
    assert repaired(executor) == {}
    wait_for(lambda: "task" in repaired(executor))


def test_nobody_is_taken_for_lost_whose_announcement_redis_has_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=120))
    start_on_worker(executor, store, workload)
    store.client.flushall()
    assert repaired(executor) == {}
    assert executor.running == {workload.ti.key}


def test_a_task_that_never_started_is_sent_again_when_its_worker_died(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    workload = make_row(state="queued")
    attempt = start_on_worker(executor, store, workload)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("default")
        assert repaired(executor) == {}
        assert client.llen("default") == 1
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.launches) == (State.SUBMITTED, 1)
    assert store.attempts.claim(attempt, worker="other").is_granted


def test_a_lost_attempt_whose_task_is_queued_as_another_one_fails_alone(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="queued")
    attempt = start_on_worker(executor, store, workload)
    store.client.delete("default")
    queue_again(workload)
    repaired(executor)
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.category) == (State.FAILED, "worker_lost")
    assert store.client.llen("default") == 0


@pytest.mark.parametrize(("row", "launches", "becomes"), [("queued", 10, "submitted"), ("running", 0, "failed")])
def test_a_task_that_could_not_reach_airflows_api_server_is_sent_again_unless_it_has_started(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, row: str, launches: int, becomes: str
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state=row))
    executor.heartbeat()
    store.attempts.claim(attempt, worker="worker")
    fields: dict[str, str | int] = {"reason": "no answer", "category": "api_unreachable", "launches": launches}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=fields))
    executor.heartbeat()
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state == becomes
    told = {key.task_id: (state.value, info) for key, (state, info) in executor.get_event_buffer().items()}
    assert told.get("task") == (("failed", "no answer") if becomes == "failed" else None)


@pytest.mark.parametrize(("heard_seconds", "end"), [(2, "success"), (120, "failed")])
def test_a_task_whose_pod_vanished_is_failed_only_if_no_other_pod_of_its_sends_heartbeats(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, heard_seconds: float, end: str
) -> None:
    """Redis may have lost that the attempt was launched again."""
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=heard_seconds), queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.PENDING, fields={"pod": "p", "namespace": "ns"}))
    fields: dict[str, str | int] = {"reason": "The pod does not exist any more", "category": "vanished"}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=fields))
    told = repaired(executor)
    if end == "success":
        assert told == {}
        assert executor.running == {workload.ti.key}
        set_state(workload, "success")
        told = repaired(executor)
    assert told["task"][0] == end
    assert executor.running == set()


@pytest.mark.parametrize(("heard_seconds", "end"), [(2, "success"), (120, "failed")])
def test_a_task_that_airflow_has_as_running_elsewhere_is_failed_only_if_that_process_is_silent(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, heard_seconds: float, end: str
) -> None:
    executor = make_executor()
    workload = make_row(state="running", heard=timedelta(seconds=heard_seconds))
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker="worker")
    fields: dict[str, str | int] = {"reason": "Airflow has it as running in another process", "category": "duplicate"}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=fields))
    told = repaired(executor)
    if end == "success":
        assert told == {}
        assert executor.running == {workload.ti.key}
        set_state(workload, "success")
        told = repaired(executor)
    assert told["task"][0] == end
    if end == "failed":
        assert told["task"][1].endswith("another process, which has sent no heartbeat for 30 s")
    assert executor.running == set()


def test_a_message_that_left_its_queue_and_reached_nobody_is_sent_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    queue(executor, make_row())
    executor.heartbeat()
    executor.clock.advance(60)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("default")
        repaired(executor)
        assert client.llen("default") == 1


def test_a_message_that_waits_in_its_queue_is_not_sent_twice(
    make_executor: MakeExecutor, make_row: MakeRow, redis_url: str
) -> None:
    executor = make_executor()
    queue(executor, make_row())
    executor.heartbeat()
    executor.clock.advance(60)
    repaired(executor)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 1


def test_a_message_that_a_dead_worker_held_unstarted_is_sent_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    held, other = make_row("held"), make_row("other")
    attempt, _ = queue(executor, held, other)
    executor.heartbeat()
    store.attempts.annotate({attempt: {"received_by": "gone"}})
    executor.clock.advance(60)
    repaired(executor)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 3


@pytest.mark.parametrize(("held", "messages"), [(True, 2), (False, 3)])
def test_a_message_is_sent_again_only_if_its_living_worker_holds_it_no_more(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str, held: bool, messages: int
) -> None:
    executor = make_executor()
    attempt, _ = queue(executor, make_row("held"), make_row("other"))
    executor.heartbeat()
    store.attempts.annotate({attempt: {"received_by": "alive"}})
    store.presence.announce("worker", "alive", {"held": json.dumps([attempt] if held else [])}, seconds=30)
    executor.clock.advance(60)
    repaired(executor)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == messages


def test_only_what_may_have_left_its_queue_is_looked_up(
    make_executor: MakeExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The database does not have these tasks, so they would be taken back.
    monkeypatch.setattr("hybrid_executor.executor.unawaited._AFTER_SECONDS", math.inf)
    executor = make_executor(core__parallelism="2000")
    executor.parallelism = 2_000
    queue(executor, *(make_task(f"task_{number}") for number in range(2_000)))
    wait_for(lambda: (executor.heartbeat(), not executor.queued_tasks)[1])
    executor.clock.advance(60)
    store.client.config_resetstat()
    assert repaired(executor) == {}
    assert store.client.llen("default") == 2_000
    # Without that, it would be 2,500: 500 are compared each time, whatever they do.
    assert store.client.info("commandstats")["cmdstat_hgetall"]["calls"] < 2_000
