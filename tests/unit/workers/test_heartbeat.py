"""What a worker's main process tells the store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import fakeredis
import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Epoch, Order, Store
from hybrid_workers.activity import Activity, WorkerCard
from hybrid_workers.heartbeat import Heartbeat
from hybrid_workers.reports import Reports
from hybrid_workers.witness import Note, Witness
from tests.unit.workers.conftest import ATTEMPT, WORKER, record_of, write_again_as_running

Submit = Callable[..., None]
WAITING = Activity(waiting=frozenset({ATTEMPT}))
RUNNING = Activity(running=frozenset({ATTEMPT}))


class Worker:
    """A worker whose doings a test decides."""

    def __init__(self, store: Store) -> None:
        self.activity = Activity()
        self.card = WorkerCard(name=WORKER, queues=("a", "b"), concurrency=3)
        self.reports = Reports()
        self.orders: list[Order] = []
        self.left = 0
        self.witness = Witness()
        self.witness.open()
        self.heartbeat = Heartbeat(
            lambda: store,
            self.card,
            self.reports,
            lambda: self.activity,
            obey=self.orders.extend,
            leave=self.leave,
            queue_prefix="",
            witness=self.witness,
        )

    def leave(self) -> None:
        self.left += 1

    def tell(self, activity: Activity) -> None:
        self.activity = activity
        self.heartbeat.tell()


@pytest.fixture
def worker(store: Store) -> Worker:
    return Worker(store)


class Clock:
    """The time that a heartbeat sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for name in ("monotonic", "time"):
            monkeypatch.setattr(time, name, lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_of_two_workers_with_one_name_the_younger_leaves_and_is_heard_under_another_name(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    older, younger = Worker(store), Worker(store)
    older.card.started_at, younger.card.started_at = 100.0, 200.0
    for worker in (older, younger):
        worker.tell(RUNNING)
    for _ in range(2):
        clock.now += 6
        for worker in (older, younger):
            worker.tell(RUNNING)
    assert (older.left, younger.left) == (0, 1)
    assert f"A worker named {WORKER} is running already" in caplog.text
    names = {member.name: member.fields["life"] for member in store.presence.members("worker")}
    assert names == {WORKER: older.card.life, f"{WORKER}-{younger.card.life[:8]}": younger.card.life}
    store.presence.withdraw("worker", WORKER, life=younger.card.life)
    assert WORKER in {member.name for member in store.presence.members("worker")}


def test_a_worker_that_takes_a_dead_ones_name_over_stays(store: Store, clock: Clock) -> None:
    dead, heir = Worker(store), Worker(store)
    dead.card.started_at, heir.card.started_at = 100.0, 200.0
    dead.tell(RUNNING)
    for _ in range(3):
        clock.now += 6
        heir.tell(RUNNING)
    assert heir.left == 0
    assert announced(store)["life"] == heir.card.life


def test_a_changed_size_is_told_at_once(store: Store, worker: Worker) -> None:
    worker.tell(RUNNING)
    worker.card.processes, worker.card.concurrency = 5, 7
    worker.tell(RUNNING)
    assert (announced(store)["processes"], announced(store)["concurrency"]) == ("5", "7")


def announced(store: Store) -> dict[str, str]:
    [member] = store.presence.members("worker")
    return dict(member.fields)


def test_it_says_who_it_is_and_what_it_runs(store: Store, worker: Worker) -> None:
    worker.tell(RUNNING)
    fields = announced(store)
    assert (fields["queues"], fields["concurrency"], fields["state"]) == ("a,b", "3", "running")
    assert json.loads(fields["running"]) == [ATTEMPT]
    worker.tell(WAITING)
    assert json.loads(announced(store)["held"]) == [ATTEMPT]


def test_a_change_is_said_at_once(store: Store, worker: Worker) -> None:
    worker.tell(Activity())
    worker.card.is_draining = True
    worker.tell(RUNNING)
    fields = announced(store)
    assert (fields["state"], json.loads(fields["running"])) == ("draining", [ATTEMPT])


def test_the_record_of_a_message_that_waits_here_says_so(store: Store, worker: Worker, submit: Submit) -> None:
    submit()
    worker.tell(WAITING)
    assert record_of(store).received_by == WORKER
    worker.heartbeat.returned([ATTEMPT])
    assert record_of(store).received_by == ""


def test_a_running_record_that_redis_lost_is_written_again(store: Store, worker: Worker, submit: Submit) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.tell(RUNNING)
    before = record_of(store)
    store.client.flushall()
    worker.heartbeat.keep_records(RUNNING)
    after = record_of(store)
    assert (after.state, after.generation, after.owner, after.holder, after.queue) == (
        State.RUNNING,
        before.generation,
        before.owner,
        WORKER,
        "q",
    )


ENDED = Note(attempt=ATTEMPT, generation=2, end=State.FAILED.value, fields={"reason": "why"})


def test_what_ended_before_the_first_look_and_was_forgotten_by_redis_is_written_again(
    store: Store, worker: Worker, submit: Submit
) -> None:
    submit()  # as a Redis that fell back has it
    worker.witness.note(ENDED)
    worker.tell(Activity())
    assert (record_of(store).state, record_of(store).reason) == (State.FAILED, "why")


def test_what_ended_while_it_was_asked_whether_redis_has_forgotten_is_written_again(
    store: Store, worker: Worker, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.tell(Activity())
    submit()

    def present() -> Epoch:
        worker.witness.note(ENDED)
        return Epoch("another")

    monkeypatch.setattr(store.events, "present", present)
    worker.tell(Activity())
    assert record_of(store).state is State.FAILED


def test_what_ended_and_is_written_again_as_running_ends_at_the_next_look(
    store: Store, worker: Worker, submit: Submit, clock: Clock
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.tell(RUNNING)
    worker.witness.note(ENDED)
    store.client.flushall()
    clock.now += 6
    worker.tell(RUNNING)  # the worker was stopped after it had looked at what runs
    assert record_of(store).state is State.RUNNING
    worker.tell(Activity())
    assert (record_of(store).state, record_of(store).reason) == (State.FAILED, "why")


def test_what_its_scheduler_writes_again_as_running_though_it_has_ended_here_ends_soon(
    store: Store, worker: Worker, submit: Submit, clock: Clock
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.tell(RUNNING)
    worker.witness.note(ENDED)
    store.client.flushall()
    worker.tell(Activity())  # there is no record that could end
    write_again_as_running(store)
    clock.now += 6
    worker.tell(Activity())
    assert (record_of(store).state, record_of(store).reason) == (State.FAILED, "why")


def test_what_was_claimed_and_ended_before_two_losses_ends_in_the_generation_that_its_scheduler_knows(
    store: Store, worker: Worker, submit: Submit, clock: Clock
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.witness.note(Note(attempt=ATTEMPT, generation=2))
    worker.tell(RUNNING)
    store.client.flushall()
    worker.witness.note(replace(ENDED, generation=1))  # it was claimed anew, to be ended
    store.client.flushall()
    worker.tell(Activity())
    write_again_as_running(store)
    clock.now += 6
    worker.tell(Activity())
    assert record_of(store).state is State.FAILED


def test_an_end_that_nobody_has_asked_for_in_minutes_is_not_looked_for(
    store: Store, worker: Worker, submit: Submit, clock: Clock
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.witness.note(ENDED)
    worker.tell(Activity())
    store.client.flushall()
    worker.tell(Activity())
    clock.now += 130
    worker.tell(Activity())
    submit()
    clock.now += 6
    worker.tell(Activity())
    assert record_of(store).state is State.SUBMITTED


def test_a_worker_with_news_every_second_still_looks_after_its_records(
    store: Store, worker: Worker, submit: Submit, clock: Clock
) -> None:
    submit()
    store.attempts.claim(ATTEMPT, worker=WORKER, token="1-x")
    worker.tell(RUNNING)
    store.client.flushall()
    for second in range(6):
        clock.now += 1
        worker.tell(Activity(running=frozenset({ATTEMPT, AttemptId(f"another-{second}")})))
    assert record_of(store).state is State.RUNNING


def test_a_worker_is_deaf_at_the_second_look_and_not_at_the_first(store: Store, worker: Worker, clock: Clock) -> None:
    store.client.lpush("a", "message")
    worker.tell(Activity())
    assert announced(store)["state"] == "running"
    clock.now += 6
    worker.tell(Activity())
    assert (announced(store)["state"], worker.card.deaf_since) == ("deaf", 1000.0)
    clock.now += 6
    worker.card.consumed_at = clock.now
    worker.tell(Activity())
    assert (announced(store)["state"], worker.card.deaf_since) == ("running", clock.now)


def test_nobody_is_deaf_to_a_redis_that_is_away(
    store: Store, server: fakeredis.FakeServer, worker: Worker, clock: Clock
) -> None:
    store.client.lpush("a", "message")
    worker.tell(Activity())
    assert worker.card.deaf_since == clock.now
    server.connected = False
    worker.heartbeat.returned([ATTEMPT])
    assert worker.card.deaf_since == 0


def test_redis_away_is_an_error_for_the_caller_and_loses_nothing(
    store: Store, server: fakeredis.FakeServer, worker: Worker, submit: Submit
) -> None:
    submit()
    worker.reports.bad_message(ATTEMPT, "unreadable")
    server.connected = False
    with pytest.raises(StoreUnavailable):
        worker.tell(RUNNING)
    server.connected = True
    worker.tell(RUNNING)
    assert record_of(store).state is State.FAILED
    assert json.loads(announced(store)["running"]) == [ATTEMPT]


def test_leaving_takes_back_the_announcement_and_delivers_the_last_reports(
    store: Store, worker: Worker, submit: Submit
) -> None:
    submit()
    worker.heartbeat.start()
    worker.reports.bad_message(AttemptId(ATTEMPT), "unreadable")
    worker.heartbeat.stop()
    assert store.presence.members("worker") == []
    assert record_of(store).state is State.FAILED
