"""``airflow hybrid status``."""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest

from hybrid_executor.cli.status_command import count_live, read_status, show
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store, Submission


@pytest.fixture
def store() -> Iterator[Store]:
    client = fakeredis.FakeRedis(decode_responses=True)
    yield Store(client, instance="test")
    client.close()


def submission(attempt: str, *, pool: str, queue: str) -> Submission:
    return Submission(
        attempt=AttemptId(attempt), owner=OwnerId("1"), pool=pool, fields={"queue": queue, "pool": pool}, payload="{}"
    )


def test_live_attempts_are_counted_by_pool_queue_and_state(store: Store) -> None:
    store.attempts.submit(
        [
            submission("a", pool="celery", queue="default"),
            submission("b", pool="celery", queue="default"),
            submission("c", pool="kubernetes", queue="gpu"),
        ]
    )
    store.attempts.claim(AttemptId("a"), worker="w@h")
    assert read_status(store)["live"] == [
        {"pool": "celery", "queue": "default", "state": "running", "attempts": 1},
        {"pool": "celery", "queue": "default", "state": "submitted", "attempts": 1},
        {"pool": "kubernetes", "queue": "gpu", "state": "submitted", "attempts": 1},
    ]


def test_workers_and_agents_are_shown_with_what_they_say_of_themselves(store: Store) -> None:
    store.presence.announce("worker", "w@h", {"queues": "default", "state": "draining"}, seconds=30)
    store.presence.announce("agent", "a-1", {}, seconds=30)
    found = read_status(store)
    (worker,) = found["workers"]
    assert (worker["name"], worker["is_alive"], worker["queues"], worker["state"]) == (
        "w@h",
        True,
        "default",
        "draining",
    )
    assert [agent["name"] for agent in found["agents"]] == ["a-1"]


def test_records_that_are_gone_are_not_counted() -> None:
    records = [Record(id=AttemptId("a"), state=State.RUNNING, generation=1, pool="celery", queue="q")]
    assert count_live(records) == [{"pool": "celery", "queue": "q", "state": "running", "attempts": 1}]
    assert count_live([]) == []


def test_what_attempts_wait_for_is_counted_by_its_words(store: Store) -> None:
    store.attempts.submit([submission(name, pool="kubernetes", queue="gpu") for name in "abc"])
    store.attempts.annotate({AttemptId(name): {"note": "waiting for quota"} for name in "ab"})
    store.attempts.annotate({AttemptId("c"): {"note": "no node has room"}})
    assert read_status(store)["notes"] == [
        {"pool": "kubernetes", "queue": "gpu", "note": "waiting for quota", "attempts": 2},
        {"pool": "kubernetes", "queue": "gpu", "note": "no node has room", "attempts": 1},
    ]


def test_a_queue_that_no_worker_serves_is_shown_with_what_to_run(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.attempts.submit([submission("a", pool="celery", queue="etl")])
    store.presence.announce("worker", "w@h", {"queues": "default", "paused_queues": "etl"}, seconds=30)
    found = read_status(store)
    assert [(row["pool"], row["name"], row["attempts"]) for row in found["unserved"]] == [("celery", "etl", 1)]
    show(found, instance="test")
    said = " ".join(capsys.readouterr().out.split())
    assert "(paused: etl)" in said
    assert "airflow hybrid worker --queues etl" in said
    store.presence.announce("worker", "w@h", {"queues": "default,etl"}, seconds=30)
    assert read_status(store)["unserved"] == []


def test_notes_are_shown_as_they_stand(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.attempts.submit([submission("a", pool="kubernetes", queue="gpu")])
    store.attempts.annotate({AttemptId("a"): {"note": "quota [red]"}})
    show(read_status(store), instance="test")
    assert "quota [red]" in capsys.readouterr().out
