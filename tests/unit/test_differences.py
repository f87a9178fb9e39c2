"""What does not fit together, decided from values alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hybrid_executor.compat import TaskRow
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.operations.differences import Difference, find_differences
from hybrid_executor.operations.snapshot import SeenPod, Snapshot
from hybrid_executor.states import State
from hybrid_executor.store import Record

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW_MILLISECONDS = 1_000_000_000
A = AttemptId("a")
EMPTY = Snapshot(
    live={},
    owned={},
    records={},
    rows={},
    awaited={},
    schedulers=frozenset({"1"}),
    workers=[],
    agents=[],
    running_on={},
    in_hand=frozenset(),
    launching={},
    without_message=frozenset(),
    messages={},
    pods=[],
    places=frozenset(),
    unasked=[],
    now_milliseconds=NOW_MILLISECONDS,
    worker_lost_after_seconds=30.0,
)


def record(state: State = State.RUNNING, *, age_seconds: float = 60.0, **fields: Any) -> Record:
    known: dict[str, Any] = {"owner": OwnerId("1"), "key": "task", "pool": "celery", "dag_id": "d", "task_id": "t"}
    at = NOW_MILLISECONDS - int(age_seconds * 1000)
    return Record(id=A, state=state, generation=1, submitted_at=at, **{**known, **fields})


def row(state: str = "running", *, silent_seconds: float | None = None, attempt: str = "a") -> TaskRow:
    heard = None if silent_seconds is None else NOW - timedelta(seconds=silent_seconds)
    return TaskRow(
        id="task",
        dag_id="d",
        task_id="t",
        run_id="r",
        map_index=-1,
        try_number=1,
        state=state,
        queue="q",
        attempt=attempt,
        last_heartbeat_at=heard,
        read_at=NOW,
    )


def find(known: Record | None = None, task: TaskRow | None = None, **changes: Any) -> list[Difference]:
    records = {A: known} if known else {}
    rows = {"task": task} if task else {}
    owned = {"1": frozenset({A})} if known and not known.state.is_terminal else {}
    changes = {"owned": owned, **changes}
    return find_differences(replace(EMPTY, records=records, rows=rows, _standings={}, **changes))


def kinds(found: list[Difference]) -> list[tuple[str, str]]:
    return [(item.kind, item.repairer) for item in found]


def test_what_fits_makes_no_difference() -> None:
    assert find(record(), row(), in_hand=frozenset({A})) == []


def test_a_worker_is_lost_only_where_neither_it_nor_its_task_is_heard_of_for_long_enough() -> None:
    assert kinds(find(record(), row())) == [("lost worker", "scheduler")]
    assert find(record(age_seconds=10), row()) == []
    assert find(record(), row(silent_seconds=5)) == []
    assert kinds(find(record(), row(silent_seconds=31))) == [("lost worker", "scheduler")]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (row("queued"), []),
        (row("queued", attempt="later"), [("not awaited", "this command")]),
        (row("failed"), [("not awaited", "this command")]),
        (None, [("not awaited", "this command")]),
        (row("scheduled"), []),
        (row(""), []),
    ],
)
def test_a_waiting_attempt_is_revoked_only_where_airflow_certainly_does_not_wait_for_it(
    task: TaskRow | None, expected: list[tuple[str, str]]
) -> None:
    assert kinds(find(record(State.SUBMITTED), task)) == expected


def test_an_attempt_without_its_scheduler_is_adopted_by_another_or_is_an_orphan() -> None:
    gone = {"schedulers": frozenset({"2"}), "owned": {}}
    assert kinds(find(record(State.SUBMITTED), row("queued"), **gone)) == [("no scheduler", "scheduler")]
    assert kinds(find(record(State.SUBMITTED), row("success"), **gone)) == [("no scheduler", "this command")]
    running = {**gone, "in_hand": frozenset({A})}
    assert kinds(find(record(), row("success"), **running)) == [("no scheduler", "scheduler")]
    callback = record(State.SUBMITTED, kind="callback")
    assert kinds(find(callback, None, **gone)) == [("no scheduler", "nobody")]


def test_a_launch_is_missed_only_where_the_stream_of_its_cluster_could_be_read() -> None:
    waits = record(State.LAUNCHING, pool="kubernetes", cluster="c")
    assert find(waits, row("queued")) == []
    assert kinds(find(waits, row("queued"), launching={"c": frozenset()})) == [("no launch", "this command")]
    assert find(waits, row("queued"), launching={"c": frozenset({A})}) == []


def test_a_launch_is_also_missed_of_what_is_to_leave_its_target_and_may_have_a_pod() -> None:
    leaves = record(State.LAUNCHING, pool="kubernetes", cluster="c", leaving="wait")
    assert kinds(find(leaves, row("queued"), launching={"c": frozenset()})) == [("no launch", "this command")]
    parked = record(State.SUBMITTED, pool="kubernetes", cluster="c", leaving="wait")
    assert find(parked, row("queued"), launching={"c": frozenset()}) == []


def test_a_pod_is_missed_only_where_its_namespace_was_asked() -> None:
    runs = record(pool="kubernetes", cluster="c", namespace="n", pod="p")
    assert find(runs, row()) == []
    assert kinds(find(runs, row(), places=frozenset({("c", None)}))) == [("missing pod", "agent")]
    assert find(runs, row(), places=frozenset({("c", "other")})) == []
    pod = SeenPod(cluster="c", namespace="n", name="p", attempt=A, generation=1, has_ended=False, is_settled=False)
    assert find(runs, row(), places=frozenset({("c", "n")}), pods=[pod]) == []
    assert kinds(find(None, None, pods=[pod])) == [("pod without record", "nobody")]
    assert kinds(find(None, None, pods=[replace(pod, has_ended=True)])) == [("pod without record", "agent")]
    ended = record(State.REVOKED, pool="kubernetes")
    assert kinds(find(ended, row("failed"), pods=[pod])) == [("pod of an ended attempt", "agent")]
    assert find(ended, row("failed"), pods=[replace(pod, is_settled=True)]) == []
    assert kinds(find(runs, row(), pods=[replace(pod, has_ended=True)])) == [("ended pod", "agent")]


def test_what_a_worker_runs_and_airflow_awaits_has_a_record() -> None:
    assert kinds(find(running_on={A: "w"})) == [("unknown to Redis", "worker")]
    assert kinds(find(awaited={A: row("queued")})) == [("no record", "scheduler")]


def test_a_queue_has_no_more_messages_than_attempts_that_wait_or_were_just_taken() -> None:
    waits = {"task": row("queued"), "messages": {"q": 1}}
    assert find(record(State.SUBMITTED, queue="q"), **waits) == []
    assert find(record(queue="q", age_seconds=5), row(), messages={"q": 1}) == []
    assert kinds(find(messages={"q": 1})) == [("spare messages", "worker")]


def test_a_record_that_cannot_be_read_is_named_with_what_removes_it() -> None:
    [item] = find(replace(record(State.UNKNOWN), trouble="The key holds a string"))
    assert (item.kind, item.repairer) == ("unreadable record", "nobody")
    assert item.cure.endswith("airflow hybrid forget a")


def test_a_state_of_a_newer_release_makes_no_difference() -> None:
    assert find(record(State.UNKNOWN), row("failed")) == []
