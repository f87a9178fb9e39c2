"""A Redis that answers and refuses, under an executor: nothing fails, work stays queued, the trouble is said once."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybrid_executor import compat
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.overview import read_overview
from hybrid_executor.store import RedisSettings, Store, open_store
from tests.integration.conftest import queue, set_options, wait_for
from tests.integration.redis_installed import Server
from tests.integration.workers.near_side import callback_json
from tests.redis_situations import RIGHTS, SITUATIONS, full
from tests.store_view import alive, queue_length


@pytest.fixture
def redis_url(server: Server) -> str:
    server.client.flushall()
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    opened = open_store(RedisSettings(url=redis_url), instance="airflow")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def never_asks_whether_tasks_are_still_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long outage an executor asks Airflow's database, where the tasks of these tests are not."""
    monkeypatch.setattr("hybrid_executor.executor.still_queued._SILENT_SECONDS", math.inf)


def turn(executor: Any) -> None:
    """Let one loop of the scheduler pass, in which Redis may be asked and the repairs are due."""
    executor.clock.advance(10)
    executor.heartbeat()


@pytest.mark.parametrize("code", [*SITUATIONS, *RIGHTS])
def test_under_a_refusal_work_stays_queued_and_nothing_fails_and_it_is_said_once(
    server: Server,
    store: Store,
    make_executor: Callable[..., Any],
    make_row: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    code: str,
) -> None:
    executor = make_executor()
    [known] = queue(executor, make_row("known"))
    executor.heartbeat()
    assert compat.queued_workloads(executor) == []
    executor.get_event_buffer()
    with caplog.at_level(logging.WARNING), (SITUATIONS | RIGHTS)[code](server):
        [waiting] = queue(executor, make_row("waiting"))
        for _ in range(5):
            turn(executor)
        assert [key.task_id for key, _ in compat.queued_workloads(executor)] == ["waiting"]
        assert executor.get_event_buffer() == {}
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1, caplog.text
    assert errors[0].getMessage().startswith("Redis cannot be used; work stays queued and nothing fails")
    assert ("Redis is loading its data" if code == "LOADING" else "Redis refuses") in errors[0].getMessage()
    assert errors[0].exc_info is None
    assert "Redis is available again" not in caplog.text
    turn(executor)
    turn(executor)
    assert compat.queued_workloads(executor) == []
    assert executor.get_event_buffer() == {}
    assert None not in store.attempts.records([known, waiting])
    assert queue_length(store, "default") == 2


def test_status_tells_of_a_redis_that_answers_and_takes_no_writes(server: Server, store: Store) -> None:
    settings = read_settings(DictConfig({"hybrid_executor": {"redis_url": "redis://localhost"}}))
    assert read_overview(store, settings).redis == "ok"
    with full(server):
        found = read_overview(store, settings)
    assert found.redis == "Redis refuses writes: maxmemory reached (OOM)"
    [problem] = [one for one in found.problems if one.subject == "Redis"]
    assert (problem.severity, "maxmemory" in problem.cure) == ("failure", True)


def test_a_worker_that_could_not_announce_itself_to_a_full_redis_has_lost_nothing(
    server: Server,
    store: Store,
    make_executor: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from airflow.executors.workloads import ExecuteCallback

    set_options(monkeypatch, hybrid_executor__worker_lost_after="5")
    executor = make_executor()
    key = "01900000-0000-7000-8000-000000000001"
    workload = ExecuteCallback.model_validate_json(callback_json(key, {}))
    executor.queue_workload(workload, session=None)
    executor.heartbeat()
    [attempt] = store.attempts.live("celery")

    def announce(seconds: float) -> None:
        store.presence.announce("worker", "w", {"running": f'["{attempt}"]'}, seconds=seconds)

    announce(2.0)
    assert store.attempts.claim(AttemptId(attempt), worker="w").is_granted
    turn(executor)
    with full(server):
        wait_for(lambda: not alive(store, "worker"))
        turn(executor)
    turn(executor)
    announce(60.0)
    turn(executor)
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state.value == "running"
