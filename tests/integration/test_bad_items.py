"""One bad item ends itself: a workload, a queue, a key, a record, a worker's row; everything else goes on."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue, repaired
from tests.store_view import queue_length

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


def told(executor: Any) -> dict[str, tuple[str, str]]:
    return {key.task_id: (state.value, info or "") for key, (state, info) in executor.get_event_buffer().items()}


def break_database() -> Callable[[], None]:
    """Take the tasks' table out of Airflow's database; return what brings it back."""
    from airflow import settings

    assert settings.engine is not None
    path = str(settings.engine.url.database)

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            connection.execute("PRAGMA legacy_alter_table=ON")
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
            connection.commit()

    rename("task_instance", "taken_away")
    return lambda: rename("taken_away", "task_instance")


# ---- what cannot be submitted ----


@pytest.mark.parametrize(
    "name",
    [
        *("unacked", "unacked_index", "unacked_mutex", "_kombu.binding.default", "default\x06\x163", "default\x06\x16"),
        "{hybrid:airflow}:events",
    ],
)
def test_a_queue_named_like_a_key_of_others_fails_its_task_alone(
    make_executor: MakeExecutor, store: Store, name: str
) -> None:
    executor = make_executor()
    _, good = queue(executor, make_task("bad", queue=name), make_task("good"))
    executor.heartbeat()
    [(task, (state, reason))] = told(executor).items()
    assert (task, state) == ("bad", "failed")
    assert "give the task another queue" in reason
    assert queue_length(store, "default") == 1
    assert store.attempts.live("celery") == {good}


def test_a_key_that_holds_something_else_fails_the_task_that_needs_it_alone(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor()
    store.client.set("broken", "no list")
    store.client.rpush(store.keys.launch("default"), "no stream")
    taken = make_task("taken")
    store.client.set(store.keys.attempt(taken.ti.external_executor_id), "no record", ex=60)
    bad = [make_task("list", queue="broken"), make_task("pod", queue=QUEUE_OF_PODS), taken]
    queue(executor, *bad, *(make_task(f"good-{number}") for number in range(20)))
    executor.heartbeat()
    events = told(executor)
    assert {name: state for name, (state, _) in events.items()} == {
        "list": "failed",
        "pod": "failed",
        "taken": "failed",
    }
    assert "The Redis key broken holds a value that is not a list of messages" in events["list"][1]
    assert queue_length(store, "default") == len(executor.running) == 20


def test_a_message_that_a_broker_of_its_own_never_accepts_fails_its_task_alone(
    make_executor: MakeExecutor, store: Store, redis_url: str
) -> None:
    executor = make_executor(celery__broker_url=redis_url.removesuffix("/0") + "/1")
    broker = redis.Redis.from_url(redis_url.removesuffix("/0") + "/1")
    with broker:
        broker.set("broken", "no list", ex=60)
        _, good = queue(executor, make_task("bad", queue="broken"), make_task("good"))
        executor.heartbeat()
        executor.heartbeat()
        [(task, (state, reason))] = told(executor).items()
        assert (task, state) == ("bad", "failed")
        assert "The Redis key broken holds a value that is not a list of messages" in reason
        assert broker.llen("default") == 1
        assert store.attempts.live("celery") == {good}
        broker.flushdb()


# ---- timed repairs ----


def test_repairs_go_on_whatever_one_key_record_or_row_holds(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    lost, newer, gone = (
        make_row("lost", state="running", heard=timedelta(seconds=120)),
        make_row("newer"),
        make_row("x"),
    )
    attempts = queue(executor, lost, newer, gone)
    executor.heartbeat()
    for attempt in attempts:
        store.attempts.claim(attempt, worker="dead")
    executor.heartbeat()
    executor.clock.advance(60)
    store.client.hset(store.keys.attempt(attempts[1]), "state", "a-state-of-tomorrow")
    store.client.delete(store.keys.attempt(attempts[2]))
    store.client.set(store.keys.attempt(attempts[2]), "no record", ex=60)
    store.presence.announce("worker", "odd", {"running": "{"}, seconds=30)
    store.presence.announce("worker", "string", {}, seconds=30)
    store.client.delete(store.keys.member("worker", "string"))
    store.client.set(store.keys.member("worker", "string"), "no hash", ex=60)
    store.client.delete(store.keys.live("celery"))
    store.client.set(store.keys.live("celery"), "no set")
    store.client.xadd(store.keys.events, {"no": "event"})
    events = repaired(executor)
    assert events["lost"][0] == "failed"
    assert "worker lost" in events["lost"][1]
    assert events["x"][0] == "failed"
    assert "holds a value that is not a record" in events["x"][1]
    assert "newer" not in events
    assert executor.running == {newer.ti.key}


def test_events_that_were_a_list_are_read_again_and_what_was_missed_is_found(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "why"}))
    store.client.delete(store.keys.events)
    store.client.rpush(store.keys.events, "no stream")
    assert repaired(executor) == {"task": ("failed", "why")}


def test_a_workload_that_cannot_be_made_again_fails_alone(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow import settings
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    executor = make_executor()
    bad, good = make_row("bad"), make_row("good")
    assert settings.NonScopedSession is not None
    with settings.NonScopedSession() as session:
        # What Airflow needs to describe the task is gone.
        session.execute(update(TaskInstance).where(TaskInstance.id == bad.ti.id).values(dag_version_id=None))
        assert session.query(DagVersion).count()
        session.commit()
    attempts = queue(executor, bad, good)
    executor.heartbeat()
    store.client.delete(*(store.keys.attempt(a) for a in attempts), store.keys.owner(OwnerId("1")), "default")
    events = repaired(executor)
    assert {name: state for name, (state, _) in events.items()} == {"bad": "failed"}
    assert "could not be submitted" in events["bad"][1]
    assert queue_length(store, "default") == 1
    assert executor.running == {good.ti.key}


# ---- work leaves a list when it is done ----


def test_a_lost_attempt_is_decided_about_after_the_database_was_away(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state="running", queue=QUEUE_OF_PODS))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "evicted"}))
    repair_database = break_database()
    try:
        with caplog.at_level(logging.CRITICAL):
            executor.heartbeat()
    finally:
        repair_database()
    assert told(executor) == {}
    assert repaired(executor) == {"task": ("failed", "evicted")}
    assert executor.running == set()


def test_a_repair_that_failed_is_done_after_a_pause_and_not_only_in_the_next_round(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor(hybrid_executor__repair_interval="600")
    [attempt] = queue(executor, make_row(state="running", heard=timedelta(seconds=120)))
    executor.heartbeat()
    store.attempts.claim(attempt, worker="dead")
    executor.heartbeat()
    executor.clock.advance(600)
    repair_database = break_database()
    try:
        with caplog.at_level(logging.ERROR):
            executor.heartbeat()
    finally:
        repair_database()
    assert "Could not look for lost workers; trying again every 5 s" in caplog.text
    executor.heartbeat()
    executor.heartbeat()
    assert told(executor) == {}
    executor.clock.advance(5)
    executor.heartbeat()
    executor.heartbeat()
    [(task, (state, reason))] = told(executor).items()
    assert (task, state) == ("task", "failed")
    assert "worker lost" in reason


def adopt_without_database(
    make_executor: MakeExecutor, workload: Any, caplog: pytest.LogCaptureFixture
) -> tuple[Any, AttemptId]:
    """Let a second executor adopt the task of a first one while the database fails; return it and the attempt."""
    from tests.integration.test_owner_repairs import rows_of

    first = make_executor(job_id=1)
    [attempt] = queue(first, workload)
    first.heartbeat()
    second = make_executor(job_id=2)
    rows = rows_of(workload)
    repair_database = break_database()
    try:
        with caplog.at_level(logging.CRITICAL):
            assert second.try_adopt_task_instances(rows) == []
    finally:
        repair_database()
    return second, attempt


def test_an_adoption_that_the_database_failed_is_tried_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    workload = make_row()
    second, attempt = adopt_without_database(make_executor, workload, caplog)
    assert second.running == set()
    second.heartbeat()
    assert second.running == {workload.ti.key}
    assert store.attempts.owned_by(OwnerId("2")) == {attempt}


def test_an_adoption_that_failed_is_not_tried_again_once_another_scheduler_has_adopted_the_task(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import update

    from tests.integration.rows import open_session

    workload = make_row()
    second, attempt = adopt_without_database(make_executor, workload, caplog)
    with closing(open_session()) as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == workload.ti.id).values(queued_by_job_id=3))
        session.commit()
    store.attempts.adopt([attempt], owner=OwnerId("3"))
    second.heartbeat()
    assert second.running == set()
    assert store.attempts.owned_by(OwnerId("3")) == {attempt}
    store.attempts.revoke([attempt], reason="the end of the test")


def test_a_step_that_goes_on_failing_is_said_once_and_once_more_when_it_works_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor()
    rows = [make_row("on-worker", state="running", heard=timedelta(seconds=120))]
    rows.append(make_row("in-pod", queue=QUEUE_OF_PODS))  # its task has not started, so it is asked for each second
    attempts = queue(executor, *rows)
    executor.heartbeat()
    store.attempts.claim(attempts[0], worker="dead")
    store.attempts.advance(Change(attempt=attempts[1], to=State.RUNNING))
    executor.heartbeat()
    repair_database = break_database()
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(6):
                executor.clock.advance(executor.settings.repair_interval_seconds)
                executor.heartbeat()
    finally:
        repair_database()
    with caplog.at_level(logging.WARNING):
        executor.clock.advance(executor.settings.repair_interval_seconds)
        executor.heartbeat()
    said = Counter(record.getMessage().partition(":")[0] for record in caplog.records)
    assert said["Could not look for lost workers; trying again every 5 s"] == 1
    assert said["Which tasks have started cannot be read from Airflow's database now"] == 1
    assert said["The scheduler can look for lost workers again"] == 1
    assert max(said.values()) == 1, said
    assert sum(record.exc_info is not None for record in caplog.records) <= len(said)


def test_what_waits_while_the_database_does_not_tell_whether_it_is_still_queued_keeps_no_end_from_being_told(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor()
    runs, waits = make_row("runs"), make_row("waits")
    [running] = queue(executor, runs)
    executor.heartbeat()
    [waiting] = queue(executor, waits)
    store.attempts.advance(Change(attempt=running, to=State.FAILED, fields={"reason": "why"}))
    repair_database = break_database()
    try:
        executor.clock.advance(40)  # another scheduler may have taken over
        with caplog.at_level(logging.ERROR):
            for _ in range(5):
                executor.heartbeat()
    finally:
        repair_database()
    assert told(executor) == {"runs": ("failed", "why")}
    assert caplog.text.count("does not tell whether it is still queued") == 1
    assert "A heartbeat failed" not in caplog.text
    assert store.attempts.records([waiting]) == [None]
    executor.heartbeat()
    assert store.attempts.live("celery") == {waiting}


def test_a_launch_that_waited_when_redis_lost_its_data_waits_again_with_its_workload(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    launching, pending = make_row("launching", queue=QUEUE_OF_PODS), make_row("pending", queue=QUEUE_OF_PODS)
    started = make_row("started", queue=QUEUE_OF_PODS, state="running")
    attempts = queue(executor, launching, pending, started)
    executor.heartbeat()
    for attempt, state in zip(attempts, (State.LAUNCHING, State.PENDING, State.PENDING), strict=True):
        store.attempts.advance(Change(attempt=attempt, to=state))
    executor.heartbeat()
    store.client.flushall()
    assert repaired(executor) == {}
    stream = store.launches("default", consumer="test")
    stream.prepare()
    assert {entry.attempt for entry in stream.take(count=9, wait_milliseconds=9)} == set(attempts[:2])
    for record, payload, _ in store.attempts.workloads(attempts[:2]):
        assert record is not None
        assert record.state is State.SUBMITTED
        assert '"token":"' in payload
    [kept] = store.attempts.records([attempts[2]])
    assert kept is not None
    assert kept.state is State.PENDING
