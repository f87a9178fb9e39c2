"""What people ask is answered as far as Redis answers, and it is said what is wrong with Redis and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybrid_executor.insight.attempts import AttemptFilter, read_attempts
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.integration.conftest import queue
from tests.integration.insight.conftest import Asked
from tests.integration.redis_installed import Server
from tests.redis_situations import SITUATIONS, frozen

ANSWERS = ("OOM", "READONLY", "NOREPLICAS")
"""Situations in which Redis answers questions. With MISCONF Redis refuses even the PING of new connections."""


@pytest.fixture
def redis_url(server: Server) -> str:
    server.client.flushall()
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    opened = open_store(RedisSettings(url=redis_url, answer_seconds=1, retries=0), instance="airflow")
    yield opened
    opened.close()


@pytest.fixture
def asked(
    make_executor: Callable[..., Any],
    make_row: Callable[..., Any],
    schedulers: Callable[..., None],
    ask: Callable[[Any], Asked],
) -> Asked:
    schedulers(1)
    executor = make_executor()
    queue(executor, make_row("task", queue="etl"))
    executor.heartbeat()
    return ask(executor)


@pytest.mark.parametrize("code", SITUATIONS)
def test_a_refusal_is_the_first_problem_and_the_rest_is_shown_where_redis_can_be_read(
    server: Server, asked: Asked, code: str
) -> None:
    with SITUATIONS[code](server):
        found = asked.status()
        story = asked.why()
        rows = read_attempts(asked.store, AttemptFilter()) if code in ANSWERS else []
    assert found.problems[0].subject == "Redis"
    assert found.problems[0].severity == "failure"
    assert code in found.redis
    assert found.problems[0].cure
    assert [row.is_alive for row in found.schedulers] == [True]
    assert code in story.waits_for
    if code in ANSWERS:
        assert [queue.depth for queue in found.queues if queue.name == "etl"] == [1]
        assert "No living worker serves queue etl" in story.waits_for
        assert [row.task_id for row in rows] == ["task"]


def test_a_frozen_redis_is_said_within_a_bounded_time(asked: Asked, redis_url: str) -> None:
    with frozen(redis_url):
        found = asked.status()
        story = asked.why()
    assert found.redis.startswith("Redis cannot be reached")
    assert "Start Redis" in found.problems[0].cure
    assert "is not known while Redis cannot be asked" in story.where
    assert "nothing fails because of that" in story.waits_for
