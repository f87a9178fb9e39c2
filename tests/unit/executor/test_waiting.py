"""What a user reads of an attempt that did not start in time."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.waiting import waited_for
from hybrid_executor.states import State
from hybrid_executor.store import Record


def record(state: State, **fields: Any) -> Record:
    return Record(id=AttemptId("a"), state=state, generation=1, **fields)


NOTE = "The pod finds no node (Unschedulable): 0/3 nodes are available"
IN_POD: dict[str, Any] = {"pool": "kubernetes", "cluster": "default", "namespace": "ns"}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (record(State.PENDING, note=NOTE, pod="p", **IN_POD), NOTE),
        (record(State.SUBMITTED, note="waiting for quota q", **IN_POD), "waiting for quota q"),
        (record(State.PENDING, pod="p", **IN_POD), "pod p in namespace ns had not started"),
        (record(State.SUBMITTED, **IN_POD), "No pod was created for it in cluster 'default'"),
        (record(State.LAUNCHING, **IN_POD), "No pod was created for it in cluster 'default'"),
        (record(State.SUBMITTED, pool="celery", queue="etl"), "No worker took it from queue 'etl'"),
        (record(State.SUBMITTED, pool="celery", queue="etl", received_by="w1"), "Worker w1 took it from queue 'etl'"),
        (None, "no record of this attempt"),
    ],
)
def test_an_attempt_that_was_taken_back_says_what_it_waited_for(found: Record | None, words: str) -> None:
    assert words in waited_for(found)


@pytest.mark.parametrize("state", [State.RUNNING, State.LOST, State.FAILED, State.SUCCEEDED, State.REVOKED])
def test_an_attempt_that_had_started_waited_for_nothing(state: State) -> None:
    assert waited_for(record(state)) == ""
