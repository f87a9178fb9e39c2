"""Repairs that only the owner can do: dead schedulers, dead pods, lost data; with Airflow's database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import timedelta
from typing import Any

import pytest
import redis
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import update

from hybrid_executor.events import OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Restoration, Store
from tests.integration.conftest import QUEUE_OF_PODS, as_task_instance, queue, repaired, unanswered, wait_for
from tests.integration.rows import open_session, queue_again
from tests.redis_situations import frozen

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


def rows_of(*workloads: Any) -> list[Any]:
    """Return task instances as the scheduler passes them for adoption: few columns loaded."""
    from airflow import settings
    from airflow.models.taskinstance import TaskInstance as Ti
    from sqlalchemy import select
    from sqlalchemy.orm import lazyload, load_only

    assert settings.NonScopedSession is not None
    session = settings.NonScopedSession()
    columns = (Ti.id, Ti.dag_id, Ti.task_id, Ti.run_id, Ti.map_index, Ti.state, Ti.external_executor_id)
    query = select(Ti).where(Ti.id.in_([w.ti.id for w in workloads])).options(lazyload(Ti.dag_run), load_only(*columns))
    return list(session.scalars(query))


# ---- dead schedulers ----


def test_adopted_attempts_are_answered_for_without_touching_them(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = make_executor(job_id=1)
    waiting, running = make_row("waiting"), make_row("running")
    _, claimed = queue(first, waiting, running)
    first.heartbeat()
    store.attempts.claim(claimed, worker="w")
    second = make_executor(job_id=2)
    assert second.try_adopt_task_instances(rows_of(waiting, running)) == []
    assert second.try_adopt_task_instances(rows_of(waiting, running)) == []
    assert second.running == {waiting.ti.key, running.ti.key}
    assert len(store.attempts.owned_by("2")) == 2
    store.attempts.advance(Change(attempt=claimed, to=State.FAILED, fields={"reason": "why"}))
    second.heartbeat()
    assert second.get_event_buffer()[running.ti.key][1] == "why"


@pytest.mark.parametrize("is_in_a_loop", [False, True], ids=["between two loops", "in the middle of a loop"])
def test_a_scheduler_that_was_stopped_submits_nothing_that_another_one_has_queued_since(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, is_in_a_loop: bool
) -> None:
    executor = make_executor()
    executor.heartbeat()
    taken, ours = make_row("taken"), make_row("ours")
    stale, attempt = queue(executor, taken, ours)
    queue_again(taken)
    executor.clock.advance(40)
    if is_in_a_loop:
        executor.sync()  # its rest
    executor.heartbeat()
    assert store.attempts.records([stale]) == [None]
    assert executor.running == {ours.ti.key}
    assert store.attempts.owned_by("1") == {attempt}
    executor.heartbeat()
    assert store.attempts.records([stale]) == [None]


def test_what_was_submitted_without_an_answer_is_taken_back_if_another_one_has_queued_its_task_since(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make_executor()
    executor.heartbeat()
    [stale] = queue(executor, taken := make_row("taken"))
    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "submit", unanswered(Attempts.submit))
        executor.heartbeat()
    assert store.attempts.owned_by("1") == {stale}
    queue_again(taken)
    executor.clock.advance(40)
    executor.heartbeat()
    executor.heartbeat()
    [record] = store.attempts.records([stale])
    assert record is not None
    assert record.state is State.REVOKED
    assert store.attempts.owned_by("1") == set()


@pytest.mark.parametrize(("queued_by", "goes_on"), [(2, True), (3, False)])
def test_what_airflow_says_is_ours_is_taken_back_where_redis_has_lost_its_adoption(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, queued_by: int, goes_on: bool
) -> None:
    first, workload = make_executor(job_id=1), make_row()
    [attempt] = queue(first, workload)
    first.heartbeat()
    second = make_executor(job_id=2)
    assert second.try_adopt_task_instances(rows_of(workload)) == []
    answers_for(workload, queued_by)
    store.attempts.adopt([attempt], owner=OwnerId("1"))  # what was before, as after a fail-over
    assert repaired(second) == {}
    assert second.running == ({workload.ti.key} if goes_on else set())
    assert (store.attempts.owned_by(OwnerId("2")) == {attempt}) is goes_on


@pytest.mark.parametrize(("state", "ends"), [("success", State.SUCCEEDED), ("failed", State.REVOKED)])
def test_what_a_dead_scheduler_has_left_of_an_ended_task_is_followed_to_its_end_and_told_to_nobody(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str, ends: State
) -> None:
    dead, workload = make_executor(job_id=1), make_row(state=state, queue=QUEUE_OF_PODS)
    [attempt] = queue(dead, workload)
    dead.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "The pod was deleted"}))
    living = make_executor(job_id=2)
    living.heartbeat()
    living.clock.advance(60)
    assert repaired(living) == {}
    assert store.attempts.owned_by(OwnerId("1")) == {attempt}, "its scheduler may live"
    store.presence.withdraw("scheduler", "1")
    for _ in range(2):
        assert repaired(living) == {}
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is ends
    assert store.attempts.owned_by(OwnerId("1")) | store.attempts.owned_by(OwnerId("2")) == set()
    assert (living.slots_occupied, living.running) == (0, set())


def test_what_airflow_still_waits_for_is_left_to_its_own_adoption(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    dead, workload = make_executor(job_id=1), make_row(state="running")
    [attempt] = queue(dead, workload)
    dead.heartbeat()
    living = make_executor(job_id=2)
    living.heartbeat()
    living.clock.advance(60)
    store.presence.withdraw("scheduler", "1")
    assert repaired(living) == {}
    assert store.attempts.owned_by(OwnerId("1")) == {attempt}


def answers_for(workload: Any, job_id: int) -> None:
    """Let Airflow have a scheduler's job as the one that has queued, or adopted, a task."""
    with closing(open_session()) as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == workload.ti.id).values(queued_by_job_id=job_id))
        session.commit()


def test_an_attempt_that_ended_unseen_is_reported_by_its_adopter(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = make_executor(job_id=1)
    workload = make_row()
    [attempt] = queue(first, workload)
    first.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields={"reason": "evicted"}))
    second = make_executor(job_id=2)
    assert second.try_adopt_task_instances(rows_of(workload)) == []
    assert second.get_event_buffer()[workload.ti.key][1] == "evicted"
    assert second.running == set()


def test_a_task_without_a_record_is_given_back_at_once(make_executor: MakeExecutor, make_row: MakeRow) -> None:
    executor = make_executor(job_id=2)
    unknown, nameless = make_row("unknown"), make_row("nameless", attempt="")
    rows = rows_of(unknown, nameless)
    assert {ti.task_id for ti in executor.try_adopt_task_instances(rows)} == {"unknown", "nameless"}


def test_a_task_whose_scheduler_died_while_airflow_took_it_back_is_given_back_and_one_that_a_person_revoked_is_not(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first = make_executor(job_id=1)
    taken_back, revoked = make_row("taken_back"), make_row("revoked")
    _, attempt = queue(first, taken_back, revoked)
    first.heartbeat()
    first.revoke_task(ti=as_task_instance(taken_back))
    store.attempts.revoke([attempt], reason="Revoked by a user")
    second = make_executor(job_id=2)
    rows = rows_of(taken_back, revoked)
    assert [ti.task_id for ti in second.try_adopt_task_instances(rows)] == ["taken_back"]
    assert second.running == set()


def test_a_task_that_sends_heartbeats_is_never_given_back(make_executor: MakeExecutor, make_row: MakeRow) -> None:
    executor = make_executor(job_id=2)
    beating = make_row("beating", state="running", heard=timedelta(seconds=2))
    silent = make_row("silent", state="running", heard=timedelta(seconds=300))
    assert [ti.task_id for ti in executor.try_adopt_task_instances(rows_of(beating, silent))] == ["silent"]


def test_with_redis_away_nothing_is_given_back_and_the_question_is_asked_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    first = make_executor(job_id=1)
    workload = make_row()
    queue(first, workload)
    first.heartbeat()
    second = make_executor(job_id=2)
    with frozen(redis_url):
        assert second.try_adopt_task_instances(rows_of(workload)) == []
        assert second.running == set()
    second.clock.advance(10)
    wait_for(lambda: (second.heartbeat(), second.running == {workload.ti.key})[1])


def test_what_could_not_be_looked_up_is_left_alone_if_its_task_is_queued_as_another_attempt_by_then(
    make_executor: MakeExecutor, make_row: MakeRow, redis_url: str
) -> None:
    first = make_executor(job_id=1)
    taken, ours = make_row("taken"), make_row("ours")
    queue(first, taken, ours)
    first.heartbeat()
    second = make_executor(job_id=2)
    with frozen(redis_url):
        assert second.try_adopt_task_instances(rows_of(taken, ours)) == []
    queue_again(taken)
    for workload in (taken, ours):
        answers_for(workload, 2)
    second.clock.advance(10)
    wait_for(lambda: (second.heartbeat(), ours.ti.key in second.running)[1])
    assert second.running == {ours.ti.key}


@pytest.mark.parametrize("is_available", [True, False], ids=["no record", "no Redis"])
def test_an_older_attempt_of_a_task_that_is_adopted_as_another_one_ends_untold(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str, is_available: bool
) -> None:
    executor, workload = make_executor(job_id=2), make_row(state="running", heard=timedelta(seconds=2))
    [old] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(old, worker="w")
    executor.heartbeat()
    assert executor.running == {workload.ti.key}
    # The task was deferred, another scheduler has resumed it, and Redis has lost both that and the end of this attempt.
    queue_again(workload)
    with nullcontext() if is_available else frozen(redis_url):
        assert executor.try_adopt_task_instances(rows_of(workload)) == []
    assert executor.running == set()
    answers_for(workload, 2)
    store.attempts.advance(Change(attempt=old, to=State.SUCCEEDED))
    executor.clock.advance(10)
    wait_for(lambda: (executor.heartbeat(), executor.context.ledger.get(old) is None)[1])
    assert {state for state, _ in executor.get_event_buffer().values()} <= {"queued"}


def test_what_is_ours_again_because_redis_lost_an_adoption_is_not_revoked_while_airflow_waits_for_it(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    first, workload = make_executor(job_id=1), make_row()
    [attempt] = queue(first, workload)
    first.heartbeat()
    paused = make_executor(job_id=2)
    store.attempts.adopt([attempt], owner=OwnerId("2"))  # what was before, as after a fail-over
    assert repaired(paused) == {}
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is State.SUBMITTED


def test_what_a_worker_has_written_again_after_its_end_does_not_count_for_ever(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    ended, runs = make_row("ended"), make_row("runs", state="running", heard=timedelta(seconds=1))
    attempts = queue(executor, ended, runs)
    executor.heartbeat()
    for attempt in attempts:
        store.attempts.claim(attempt, worker="w")
    executor.change_state(ended.ti.key, "failed")
    executor.heartbeat()
    executor.get_event_buffer()
    with closing(open_session()) as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == ended.ti.id).values(state="up_for_retry"))
        session.commit()
    fields = {"kind": "task", "key": str(ended.ti.id)}
    store.client.delete(store.keys.attempt(attempts[0]))
    store.attempts.restore(
        [
            Restoration(
                attempt=attempts[0],
                owner=OwnerId("1"),
                pool="celery",
                state=State.RUNNING,
                generation=2,
                fields=fields,
            )
        ]
    )
    assert store.attempts.owned_by(OwnerId("1")) == set(attempts)
    assert repaired(executor) == {}
    assert store.attempts.owned_by(OwnerId("1")) == {attempts[1]}
    [record] = store.attempts.records(attempts[:1])
    assert record is not None
    assert record.state is State.REVOKED


# ---- dead pods ----


@pytest.mark.parametrize(
    ("state", "expected"),
    [("queued", {}), ("running", {"task": "failed"}), ("success", {"task": "success"})],
)
def test_a_lost_pod_is_launched_again_only_if_its_task_never_started(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str, expected: dict[str, Any]
) -> None:
    executor = make_executor()
    workload = make_row(state=state, queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "OOMKilled"}))
    assert {task: told for task, (told, _) in repaired(executor).items()} == expected
    stream = store.launches("default", consumer="test")
    stream.prepare()
    assert len(stream.take(count=10, wait_milliseconds=10)) == (2 if state == "queued" else 1)


@pytest.mark.parametrize("state", ["failed", "up_for_retry", "removed"])
def test_why_a_pod_died_is_told_although_airflow_has_failed_its_task_already(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state=state, queue=QUEUE_OF_PODS))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "OOMKilled"}))
    assert repaired(executor) == {}
    [record] = store.attempts.records([attempt])
    assert record is not None
    told = ["OOMKilled"] if state != "removed" else []
    assert [row.extra for row in executor._task_event_logs] == told
    assert (record.state, record.reason) == (State.REVOKED, told[0] if told else "Airflow no longer waits for it")


def test_a_pod_that_keeps_dying_before_its_task_starts_fails_it_in_the_end(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor(kubernetes_executor__pod_launch_failure_retries="1")
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    for _ in range(2):
        store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "OOMKilled"}))
        events = repaired(executor)
    assert events == {"task": ("failed", "OOMKilled")}


def test_work_that_redis_lost_is_submitted_again_with_a_fresh_token(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row())
    executor.heartbeat()
    store.client.flushall()
    executor.heartbeat()
    _, payload, _ = store.attempts.workload(attempt)
    assert '"token":"' in payload
    assert "a-secret-token" not in payload
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("default") == 1
