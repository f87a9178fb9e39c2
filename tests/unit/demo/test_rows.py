"""Rows join the store's record with what Airflow tells of the same try."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.demo.report import Report
from hybrid_executor.demo.rows import build_rows
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record

BEGUN = 1_700_000_000_000  # 2023-11-14T22:13:20Z


def record(attempt: str, *, state: State = State.SUCCEEDED, submitted_at: int = BEGUN, **fields: Any) -> Record:
    return Record(
        id=AttemptId(attempt),
        state=state,
        generation=1,
        dag_id="d",
        run_id="r",
        task_id="t",
        try_number=1,
        queue="q",
        pool="celery",
        holder="w@h",
        submitted_at=submitted_at,
        running_at=submitted_at + 500,
        ended_at=submitted_at + 2500,
        **fields,
    )


def told(state: str, start_date: str | None) -> dict[str, Any]:
    return {
        "dag_id": "d",
        "dag_run_id": "r",
        "task_id": "t",
        "map_index": -1,
        "try_number": 1,
        "state": state,
        "hostname": "h",
        "start_date": start_date,
    }


def test_the_time_to_running_ends_when_the_task_itself_reported() -> None:
    (row,) = build_rows([record("a")], [told("success", "2023-11-14T22:13:21.250Z")])
    assert (row.seconds_to_start, row.seconds_to_running, row.seconds_started) == (0.5, 1.25, 2.0)


def test_a_task_that_has_not_reported_has_no_time_to_running() -> None:
    (row,) = build_rows([record("a", state=State.RUNNING)], [told("queued", None)])
    assert row.seconds_to_running is None
    assert row.state == "running"


def test_a_resumed_attempt_counts_to_its_own_start() -> None:
    records = [record("a"), record("b", submitted_at=BEGUN + 60_000)]
    rows = build_rows(records, [told("success", "2023-11-14T22:13:21.000Z")])
    assert [row.seconds_to_running for row in rows] == [1.0, 0.5]
    assert [row.state for row in rows] == ["deferred", "success"]


@pytest.mark.parametrize("state", ["success", "failed", "up_for_retry", "deferred"])
def test_of_an_ended_attempt_airflow_knows_how_its_task_ended(state: str) -> None:
    (row,) = build_rows([record("a")], [told(state, None)])
    assert row.state == state


def test_a_mapped_task_is_named_with_its_index_and_a_pod_goes_before_its_holder() -> None:
    (row,) = build_rows([record("a", map_index=2, pod="pod-1")], [])
    assert (row.task, row.where, row.hostname) == ("t[2]", "pod-1", "")


def report(*problems: str) -> Report:
    rows = build_rows([record("a")], [])
    return Report(problems=problems, routes="*=celery", run_states={"d": "success"}, rows=rows, seconds={"total": 1.26})


def test_the_last_line_says_ok_or_why_not() -> None:
    assert report().verdict == "demo: ok"
    assert report("d.t failed\nTraceback").verdict == "demo: failed: d.t failed"
    assert report("one", "two", "three").verdict == "demo: failed: one (and 2 more)"


def test_the_json_tells_all_that_the_table_does() -> None:
    found = report("wrong").as_dict()
    assert (found["ok"], found["problems"], found["seconds"]) == (False, ["wrong"], {"total": 1.3})
    assert found["attempts"][0]["task"] == "t"
    assert found["attempts"][0]["pool"] == "celery"
