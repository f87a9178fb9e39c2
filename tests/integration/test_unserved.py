"""A scheduler warns once of work that nobody takes, and again when that comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from hybrid_executor.store import Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue, repaired

MakeExecutor = Callable[..., Any]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return [text for text in found if "which no living worker serves" in text or "no agent is alive" in text]


def test_a_queue_without_a_worker_and_pods_without_an_agent_are_warned_of_once(
    make_executor: MakeExecutor, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    executor = make_executor()
    queue(executor, make_task("a", queue="etl"), make_task("b", queue="etl"), make_task("c", queue=QUEUE_OF_PODS))
    repaired(executor)
    assert warnings(caplog) == []
    executor.clock.advance(60)
    repaired(executor)
    on_worker, in_pod = warnings(caplog)
    assert on_worker.startswith("2 attempts wait in queue etl")
    assert in_pod.startswith("1 attempt waits for pods in cluster default")
    repaired(executor)
    assert warnings(caplog) == []


def test_who_serves_again_and_leaves_again_is_warned_of_again(
    make_executor: MakeExecutor, make_row: Callable[..., Any], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    executor = make_executor()
    queue(executor, make_row("a", queue="etl"))
    repaired(executor)
    for _ in range(2):
        executor.clock.advance(60)
        repaired(executor)
        assert len(warnings(caplog)) == 1
        store.presence.announce("worker", "w@h", {"queues": "etl"}, seconds=30)
        repaired(executor)
        assert warnings(caplog) == []
        store.presence.withdraw("worker", "w@h")
