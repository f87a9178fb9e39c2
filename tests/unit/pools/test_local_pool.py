"""The local pool counts what it gave to the LocalExecutor until that reports its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybrid_executor.pools.local import LocalPool


class ScriptedExecutor:
    """Reports the events that a test puts in."""

    def __init__(self) -> None:
        self.running: set[Any] = set()
        self.queued_tasks: dict[Any, Any] = {}
        self.events: dict[Any, Sequence[Any]] = {}
        self.is_ended = False

    def start(self) -> None:
        pass

    def queue_workload(self, workload: Any, session: Any) -> None:
        self.queued_tasks[workload] = workload

    def heartbeat(self) -> None:
        self.running |= set(self.queued_tasks)
        self.queued_tasks.clear()

    def get_event_buffer(self) -> Mapping[Any, Sequence[Any]]:
        events, self.events = self.events, {}
        self.running -= {key for key, (state, *_) in events.items() if state != "running"}
        return events

    def end(self) -> None:
        self.is_ended = True


def submitted(*keys: Any) -> tuple[LocalPool, ScriptedExecutor]:
    executor = ScriptedExecutor()
    pool = LocalPool(executor)
    for key in keys:
        pool.submit(key, key)
    return pool, executor


def test_a_workload_takes_a_slot_from_its_submission_to_its_end() -> None:
    pool, executor = submitted("a", "b")
    assert len(pool) == 2
    executor.events = {"a": ("running", None), "b": ("success", None)}
    told = [(event.key, event.state, event.is_end) for event in pool.sync()]
    assert told == [("a", "running", False), ("b", "success", True)]
    assert len(pool) == 1


def test_what_ends_while_the_pool_is_ended_is_reported() -> None:
    pool, executor = submitted("a")
    pool.sync()
    executor.events = {"a": ("failed", "why")}
    assert [(event.key, event.state, event.info, event.is_end) for event in pool.end()] == [
        ("a", "failed", "why", True)
    ]
    assert executor.is_ended
    assert len(pool) == 0
