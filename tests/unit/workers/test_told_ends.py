"""Schedulers get a hint when Airflow knows a task's success, and nothing depends on it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_workers.told_ends import TaskHints, give_hints

A, B = AttemptId("a"), AttemptId("b")


class SucceedTask:
    """What the Task SDK calls a task's success."""


class Hinting:
    """A store that only takes hints, and may be unavailable."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.asked = 0
        self.is_there = True
        self.hints = self

    def give(self, attempt: AttemptId) -> None:
        self.asked += 1
        if not self.is_there:
            raise StoreUnavailable("nobody there")
        self.given.append(attempt)


def make_supervisor() -> type:
    class Supervisor:
        """As far as the Task SDK's class matters here."""

        def __init__(self) -> None:
            self.handled: list[Any] = []

        def _handle_request(self, msg: Any, log: Any, req_id: int) -> str:
            if msg is None:
                raise OSError("the API server is gone")
            self.handled.append(msg)
            return f"answer {req_id}"

    return Supervisor


def test_a_success_is_hinted_once_after_the_api_server_has_taken_it() -> None:
    store, supervised = Hinting(), make_supervisor()
    hints = TaskHints(lambda: store)  # type: ignore[arg-type,return-value]
    assert give_hints(hints, supervised)
    assert give_hints(hints, supervised), "a second time changes nothing"
    supervisor = supervised()
    hints.begin(A)
    assert supervisor._handle_request("something else", None, 1) == "answer 1"
    assert store.given == []
    assert supervisor._handle_request(SucceedTask(), None, 2) == "answer 2"
    supervisor._handle_request(SucceedTask(), None, 3)
    assert store.given == [A]
    assert len(supervisor.handled) == 3
    with pytest.raises(OSError, match="gone"):
        supervisor._handle_request(None, None, req_id=4)


def test_an_unavailable_store_is_left_alone_for_a_minute_and_no_task_notices(caplog: pytest.LogCaptureFixture) -> None:
    store, now = Hinting(), [0.0]
    hints = TaskHints(lambda: store, clock=lambda: now[0])  # type: ignore[arg-type,return-value]
    store.is_there = False
    with caplog.at_level(logging.INFO):
        for attempt in (A, B):
            hints.begin(attempt)
            hints.give()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("hybrid_")]
    assert (store.asked, said) == (1, [])
    store.is_there, now[0] = True, 61.0
    hints.begin(B)
    hints.give()
    assert store.given == [B]


def test_another_task_sdk_is_left_as_it_is() -> None:
    assert not give_hints(TaskHints(Hinting), object)  # type: ignore[arg-type]
