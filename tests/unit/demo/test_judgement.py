"""When a demo is a success: every run succeeded, and each task ran where its queue says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybrid_executor.demo.judgement import judge
from hybrid_executor.events import AttemptId
from hybrid_executor.routing import parse_routes
from hybrid_executor.states import State
from hybrid_executor.store import Record

ROUTES = parse_routes("kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery", profiles=["gpu"])
WORKERS = {"celery@here": "here"}


def told(task_id: str, *, queue: str, hostname: str, state: str = "success", try_number: int = 1) -> dict[str, Any]:
    return {
        "dag_id": "d",
        "dag_run_id": "r",
        "task_id": task_id,
        "map_index": -1,
        "try_number": try_number,
        "queue": queue,
        "hostname": hostname,
        "state": state,
    }


def record(task_id: str, *, queue: str, pool: str, **fields: Any) -> Record:
    return Record(
        id=AttemptId(fields.pop("id", task_id)),
        state=fields.pop("state", State.SUCCEEDED),
        generation=1,
        dag_id="d",
        run_id="r",
        task_id=task_id,
        try_number=fields.pop("try_number", 1),
        queue=queue,
        pool=pool,
        **fields,
    )


ON_WORKER = told("a", queue="default", hostname="here")
IN_POD = told("b", queue="gpu-1", hostname="pod-b")
RECORD_ON_WORKER = record("a", queue="default", pool="celery", holder="celery@here")
RECORD_IN_POD = record("b", queue="gpu-1", pool="kubernetes", profile="gpu", holder="pod-b", pod="pod-b")


def problems(
    instances: list[dict[str, Any]],
    records: list[Record],
    *,
    tries: list[dict[str, Any]] | None = None,
    run_state: str = "success",
) -> list[str]:
    return judge(
        run_states={"d": run_state},
        instances=instances,
        tries=instances if tries is None else tries,
        records=records,
        routes=ROUTES,
        workers=WORKERS,
    )


def test_all_is_well_where_queue_record_and_host_name_agree() -> None:
    assert problems([ON_WORKER, IN_POD], [RECORD_ON_WORKER, RECORD_IN_POD]) == []


def test_a_failed_run_and_its_failed_task_are_named() -> None:
    assert problems([{**ON_WORKER, "state": "failed"}], [RECORD_ON_WORKER], run_state="failed") == [
        "the run of d is failed",
        "d.a (try 1) is failed",
    ]


def test_a_failed_try_that_was_repeated_well_is_no_problem() -> None:
    tries = [{**ON_WORKER, "state": "failed"}, {**ON_WORKER, "try_number": 2}]
    records = [RECORD_ON_WORKER, replace(RECORD_ON_WORKER, id=AttemptId("a2"), try_number=2)]
    assert problems(tries[1:], records, tries=tries) == []


@pytest.mark.parametrize(
    ("instance", "found", "words"),
    [
        (ON_WORKER, None, "has no record in Redis"),
        (ON_WORKER, replace(RECORD_ON_WORKER, pool="kubernetes"), "went to kubernetes and not as its route says"),
        (IN_POD, replace(RECORD_IN_POD, profile=""), "went to kubernetes and not as its route says"),
        (IN_POD, replace(RECORD_IN_POD, pod=""), "not in its pod (none)"),
        ({**IN_POD, "hostname": "here"}, RECORD_IN_POD, "ran on here and not in its pod pod-b"),
        ({**ON_WORKER, "hostname": "elsewhere"}, RECORD_ON_WORKER, "ran on elsewhere and not on celery@here (here)"),
        (ON_WORKER, replace(RECORD_ON_WORKER, holder="celery@gone"), "not on celery@gone (an unknown worker)"),
        (ON_WORKER, replace(RECORD_ON_WORKER, state=State.RUNNING), "is still running in Redis"),
    ],
)
def test_what_disagrees_is_said(instance: dict[str, Any], found: Record | None, words: str) -> None:
    (problem, *_) = problems([instance], [found] if found else [])
    assert words in problem


def test_a_task_of_a_celery_queue_that_ran_in_a_pod_is_found_out() -> None:
    stray = {**ON_WORKER, "hostname": "pod-b"}
    assert "d.a (try 1) of queue default ran in the pod pod-b" in problems(
        [stray, IN_POD], [RECORD_ON_WORKER, RECORD_IN_POD]
    )


def test_a_resumed_task_is_judged_by_its_last_attempt() -> None:
    first = replace(RECORD_IN_POD, id=AttemptId("b1"), pod="pod-b1", holder="pod-b1")
    assert problems([IN_POD], [first, RECORD_IN_POD]) == []


def test_a_failed_task_is_named_with_the_reason_that_its_record_gives() -> None:
    failed = replace(RECORD_IN_POD, state=State.FAILED, reason="OOMKilled: exit code 137")
    instance = {**IN_POD, "state": "failed"}
    assert problems([instance], [failed]) == ["d.b (try 1) is failed: OOMKilled: exit code 137"]


def test_a_task_that_failed_before_it_started_has_no_place_to_judge() -> None:
    never_started = {**IN_POD, "state": "failed", "hostname": ""}
    assert problems([never_started], [replace(RECORD_IN_POD, pod="")]) == ["d.b (try 1) is failed"]


def test_a_skipped_task_needs_no_record() -> None:
    assert problems([{**ON_WORKER, "state": "skipped"}], []) == []


def test_a_task_that_never_came_to_be_scheduled_is_a_problem() -> None:
    assert problems([{**ON_WORKER, "state": None}], [RECORD_ON_WORKER]) == ["d.a (try 1) is not scheduled"]
