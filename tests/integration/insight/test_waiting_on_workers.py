"""``why`` and ``status`` on work for Celery workers: each break is made, and both say what is wrong and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.insight.story import read_attempt_story
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store, Submission
from tests.integration.conftest import queue
from tests.integration.insight.conftest import Asked

Make = Callable[..., Any]
Ask = Callable[[Any], Asked]


def announce(store: Store, name: str = "celery@a", *, seconds: float = 30, **fields: Any) -> None:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    known = {"queues": "reports", "concurrency": "2", "state": "running", "running": "[]", "held": "[]"}
    store.presence.announce("worker", name, known | texts, seconds=seconds)


@pytest.fixture
def executor(make_executor: Make, schedulers: Callable[..., None]) -> Any:
    schedulers(1)
    return make_executor()


@pytest.fixture
def asked(executor: Any, ask: Ask) -> Asked:
    return ask(executor)


def send(executor: Any, make_row: Make, *names: str) -> list[AttemptId]:
    """Queue tasks in the queue reports and submit them."""
    attempts = queue(executor, *(make_row(name, queue="reports") for name in names))
    executor.heartbeat()
    return attempts


def test_a_queue_without_a_worker(executor: Any, asked: Asked, make_row: Make) -> None:
    send(executor, make_row, "first", "task")
    story = asked.why()
    assert story.where == "in queue reports"
    assert story.waits_for == "1 task is before it in queue reports. No living worker serves queue reports."
    assert "airflow hybrid worker --queues reports" in story.advice
    assert asked.problem("queue reports").startswith(
        "failure: 2 attempts wait in queue reports, which no living worker serves. -> Run airflow hybrid worker"
    )
    assert asked.status().has_failed


def test_a_busy_worker_with_other_tasks_before_it(executor: Any, asked: Asked, make_row: Make, store: Store) -> None:
    send(executor, make_row, "a", "b", "c", "task")
    announce(store, running=["x", "y"])
    story = asked.why()
    assert story.waits_for == (
        "3 tasks are before it in queue reports. Worker celery@a is busy (2 of 2 slots); no other worker serves it."
    )
    assert "raise its --concurrency" in story.advice
    assert not asked.status().has_failed


def test_a_free_worker_takes_it_soon(executor: Any, asked: Asked, make_row: Make, store: Store) -> None:
    send(executor, make_row, "task")
    announce(store)
    assert asked.why().waits_for == "It is next in queue reports, and worker celery@a has a free slot."


def test_a_drained_queue(executor: Any, asked: Asked, make_row: Make, store: Store) -> None:
    send(executor, make_row, "task")
    announce(store, state="drained", queues="", paused_queues="reports")
    story = asked.why()
    assert story.waits_for == "Queue reports is served only by workers that drain: celery@a."
    assert story.advice.startswith("Let it take tasks again (airflow hybrid drain celery@a --undo)")
    assert "served only by workers that drain: celery@a" in asked.problem("queue reports")


def test_a_worker_has_received_it_and_is_busy_or_silent(
    executor: Any, asked: Asked, make_row: Make, store: Store
) -> None:
    [attempt] = send(executor, make_row, "task")
    store.client.delete("reports")
    assert asked.why().where == "on its way from queue reports to a worker"
    store.attempts.annotate({attempt: {"received_by": "celery@a"}})
    announce(store, running=["x", "y"], held=[attempt])
    story = asked.why()
    assert story.where == "with worker celery@a, which has received it and has not started it"
    assert story.waits_for == "Worker celery@a is busy (2 of 2 slots)."
    store.client.delete(store.keys.member("worker", "celery@a"))
    assert "Worker celery@a has been silent for" in asked.why().waits_for


def test_it_runs_and_its_worker_dies(executor: Any, asked: Asked, make_row: Make, store: Store) -> None:
    [attempt] = send(executor, make_row, "task")
    store.client.delete("reports")
    store.attempts.claim(attempt, worker="celery@a")
    announce(store, running=[attempt])
    story = asked.why()
    assert (story.where, story.waits_for) == ("on worker celery@a", "")
    assert [problem.subject for problem in asked.status().problems] == ["cluster default"]  # no agent runs here
    store.client.delete(store.keys.member("worker", "celery@a"))
    assert "Worker celery@a has been silent" in asked.why().waits_for
    assert "worker lost" in asked.why().advice
    assert asked.problem("worker celery@a").startswith("failure: Worker celery@a has been silent for")


def test_it_failed_with_a_reason(executor: Any, asked: Asked, make_row: Make, store: Store) -> None:
    [attempt] = send(executor, make_row, "task")
    store.client.delete("reports")
    store.attempts.claim(attempt, worker="celery@a")
    fields = {"reason": "The task process was killed by SIGKILL: it ran out of memory", "category": "oom_killed"}
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, fields=fields))
    story = asked.why()
    [chapter] = story.chapters
    assert (chapter.attempt.state, chapter.attempt.reason) == ("failed", fields["reason"])
    assert "more memory" in chapter.advice
    assert "ran out of memory" in asked.problem("queue reports")


def test_a_task_that_failed_by_itself_is_told_from_its_attempt_that_succeeded(
    executor: Any, asked: Asked, make_row: Make, store: Store
) -> None:
    [attempt] = queue(executor, make_row("task", queue="reports", state="failed"))
    executor.heartbeat()
    store.client.delete("reports")
    store.attempts.claim(attempt, worker="celery@a")
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    story = asked.why()
    assert story.chapters[0].attempt.state == "succeeded"
    assert story.advice.startswith("See the task's log")


def test_a_full_pool(make_executor: Make, schedulers: Make, ask: Ask, make_row: Make, store: Store) -> None:
    schedulers(1)
    executor = make_executor(hybrid_executor__celery_parallelism="1")
    announce(store)
    send(executor, make_row, "first", "task")
    asked = ask(executor)
    story = asked.why()
    assert story.where == "in its scheduler, which has not submitted it to pool celery yet"
    assert story.waits_for == "Pool celery is full: 1 of 1 slots of this scheduler are used."
    assert asked.status().pools[0].full == ("1",)
    assert "1 of 1 slots are used; 1 task waits in Airflow as queued" in asked.problem("pool celery")


def test_no_scheduler_is_alive(executor: Any, asked: Asked, make_row: Make, schedulers: Make) -> None:
    schedulers(2)
    make_row("task", state="scheduled")
    assert asked.why().waits_for.startswith("The Dag, or the task in it, does not exist any more")
    from airflow.jobs.job import Job
    from sqlalchemy import delete

    asked.session.execute(delete(Job))
    asked.session.commit()
    assert asked.why().waits_for == "No scheduler is alive, so Airflow queues nothing."
    assert asked.problem("scheduler").startswith("failure: No scheduler is alive")


def test_an_attempt_is_found_by_its_id(executor: Any, asked: Asked, make_row: Make) -> None:
    [attempt] = send(executor, make_row, "task")
    story = read_attempt_story(asked.store, asked.session, asked.settings, attempt)
    assert (story.dag_id, story.task_id, story.run_id) == ("dag", "task", "run")
    assert [chapter.attempt.id for chapter in story.chapters] == [attempt]
    unknown = read_attempt_story(asked.store, asked.session, asked.settings, "0000")
    assert not unknown.is_found


def test_an_overview_of_thousands_of_attempts_takes_few_round_trips(asked: Asked, store: Store) -> None:
    attempts = [AttemptId(f"attempt-{number}") for number in range(4000)]
    fields = {"dag_id": "dag", "task_id": "task", "queue": "reports"}
    store.attempts.submit(
        [
            Submission(attempt=attempt, owner=OwnerId("1"), pool="celery", fields=fields, payload="{}")
            for attempt in attempts
        ]
    )

    def reads() -> int:
        return int(store.client.info("stats")["total_reads_processed"])

    before = reads()
    found = asked.status()
    assert [view.depth for view in found.queues if view.name == "reports"] == [4000]
    assert reads() - before < 50


def test_of_a_mapped_task_one_that_waits_is_told_or_the_one_that_is_asked_for(
    executor: Any, asked: Asked, make_row: Make
) -> None:
    waiting = make_row("mapped", map_index=1, queue="reports")
    make_row("mapped", map_index=0, state="success", attempt="0")
    make_row("mapped", map_index=2, state="running", attempt="2")
    queue(executor, waiting)
    executor.heartbeat()
    story = asked.why("mapped")
    assert (story.map_index, story.siblings) == (1, {"success": 1, "queued": 1, "running": 1})
    assert story.waits_for == "No living worker serves queue reports."
    assert asked.why("mapped", map_index=2).map_index == 2
    assert not asked.why("mapped", map_index=9).is_found


def test_a_task_in_a_full_pool_says_what_its_queue_has_and_who_is_next(
    make_executor: Make, make_row: Make, ask: Ask, schedulers: Callable[..., None]
) -> None:
    schedulers(1)
    executor = make_executor(hybrid_executor__celery_parallelism="3", hybrid_executor__fair_share="small=2")
    big = [make_row(f"big-{number}", queue="big") for number in range(4)]
    queue(executor, *big, make_row("first", queue="small"), make_row("second", queue="small"))
    executor.heartbeat()
    assert ask(executor).why("big-3").waits_for == (
        "Pool celery is full: 3 of 3 slots of this scheduler are used. Queue big has 1 of them, and the share 1. The "
        "next free slot goes to the queue with the fewest slots for its share ([hybrid_executor] fair_share). A queue "
        "that had nothing to do before goes first for a while."
    )
