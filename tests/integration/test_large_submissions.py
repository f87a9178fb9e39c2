"""Submissions of many attempts: batches are sent while the next ones are made, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store, Submission
from tests.contract.store_world import A, submission

MANY = [AttemptId(f"many-{number}") for number in range(450)]


def made(attempt: AttemptId) -> Submission:
    return submission(attempt, queue_key="q", message=str(attempt))


def cut_connections(redis_url: str) -> None:
    """Cut the connections of all others."""
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)


def test_all_are_recorded_once_and_in_order(store: Store) -> None:
    assert store.attempts.submit(map(made, MANY)) == [1] * len(MANY)
    assert store.client.lrange("q", 0, -1) == MANY[::-1]
    assert store.attempts.submit(map(made, MANY)) == [0] * len(MANY)
    assert store.client.llen("q") == len(MANY)
    assert store.attempts.submit(iter(())) == []


def test_a_server_that_does_not_know_the_script_gets_it(store: Store) -> None:
    store.client.script_flush()
    assert store.attempts.submit(map(made, MANY)) == [1] * len(MANY)
    assert store.client.llen("q") == len(MANY)


def test_over_a_connection_that_breaks_all_are_sent_again_and_recorded_once(store: Store, redis_url: str) -> None:
    def breaking() -> Iterator[Submission]:
        for number, attempt in enumerate(MANY):
            if number == 300:
                cut_connections(redis_url)
            yield made(attempt)

    answers = store.attempts.submit(breaking())
    assert len(answers) == len(MANY)
    assert set(answers) <= {0, 1}
    assert answers[-1] == 1
    assert sorted(store.client.lrange("q", 0, -1)) == sorted(MANY)
    assert all(record is not None and record.generation == 1 for record in store.attempts.records(MANY))


def test_an_error_on_the_way_leaves_no_answer_for_the_next_command(store: Store) -> None:
    def broken() -> Iterator[Submission]:
        yield from map(made, MANY[:250])
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        store.attempts.submit(broken())
    assert store.attempts.submit([made(A)]) == [1]
    [record] = store.attempts.records([A])
    assert record is not None
    assert record.id == A
