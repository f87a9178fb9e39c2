"""Names, labels, annotations and selectors of pods."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_executor.kube.names import (
    annotations_of,
    attempt_selector,
    done_patch,
    instance_selector,
    labels_of,
    make_safe_label_value,
    pod_name,
)
from hybrid_executor.kube.overrides import Overrides
from hybrid_executor.kube.request import PodRequest

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def request_of(**changes: Any) -> PodRequest:
    fields: dict[str, Any] = {
        "kind": "task",
        "attempt_id": "0193a5c4-7f0e-7b3a-9d1e-0123456789ab",
        "instance": "prod",
        "queue": "gpu high",
        "payload": "{}",
        "dag_id": "my_dag",
        "task_id": "group.task",
        "run_id": "scheduled__2026-01-01T00:00:00+00:00",
        "try_number": 2,
    }
    return PodRequest(**{**fields, **changes})


@given(st.text(max_size=300), st.text(max_size=300), st.text(min_size=1, max_size=40), st.integers(0, 99))
def test_a_pod_name_is_always_a_dns_label(dag_id: str, task_id: str, attempt: str, launch: int) -> None:
    name = pod_name(dag_id, task_id, attempt, launch)
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)


def test_a_pod_name_is_the_same_each_time_and_other_for_each_attempt_and_launch() -> None:
    assert pod_name("d", "t", "a", 0) == pod_name("d", "t", "a")
    names = {pod_name("d", "t", attempt, launch) for attempt in ("a", "b", "a/1") for launch in range(5)}
    assert len(names) == 15


def test_a_pod_name_shows_dag_and_task() -> None:
    assert re.fullmatch(r"my-dag-group-task-[0-9a-f]{12}", pod_name("My_Dag", "group.task", "a"))
    assert re.fullmatch(r"airflow-[0-9a-f]{12}", pod_name("日本", "語", "a"))


@pytest.mark.parametrize("value", ["a", "my_dag", "a.b-c_d", "A" * 63, ""])
def test_a_value_that_labels_allow_is_kept(value: str) -> None:
    assert make_safe_label_value(value) == value


@pytest.mark.parametrize(
    ("value", "head"),
    [
        ("manual__2026-01-01T00:00:00+00:00", "manual__2026-01-01T0000000000"),
        ("-a-", "a"),
        ("a b", "ab"),
        ("x" * 64, "x" * 53),
        ("_" + "y" * 80, "y" * 53),
    ],
)
def test_a_changed_label_value_ends_in_nine_digits_of_its_md5(value: str, head: str) -> None:
    digest = hashlib.md5(value.encode()).hexdigest()[:9]
    assert make_safe_label_value(value) == f"{head}-{digest}"


@given(st.text(min_size=1, max_size=200))
def test_every_text_becomes_a_value_that_the_api_accepts(value: str) -> None:
    safe = make_safe_label_value(value)
    assert len(safe) <= 63
    assert LABEL_VALUE.fullmatch(safe)


def test_labels_are_airflows_own_and_ours_but_not_those_of_other_executors() -> None:
    labels = labels_of(request_of(map_index=3, airflow_version="3.3.2+local", launch=1))
    run = "scheduled__2026-01-01T00:00:00+00:00"
    assert labels == {
        "dag_id": "my_dag",
        "task_id": "group.task",
        "run_id": make_safe_label_value(run),
        "try_number": "2",
        "map_index": "3",
        "airflow_version": "3.3.2-local",
        "hybrid-executor/instance": "prod",
        "hybrid-executor/attempt": "0193a5c4-7f0e-7b3a-9d1e-0123456789ab",
        "hybrid-executor/queue": make_safe_label_value("gpu high"),
        "hybrid-executor/launch": "1",
        "hybrid-executor/kind": "task",
    }


def test_annotations_hold_the_exact_values() -> None:
    assert annotations_of(request_of(map_index=3)) == {
        "dag_id": "my_dag",
        "task_id": "group.task",
        "run_id": "scheduled__2026-01-01T00:00:00+00:00",
        "try_number": "2",
        "map_index": "3",
        "hybrid-executor/attempt": "0193a5c4-7f0e-7b3a-9d1e-0123456789ab",
        "hybrid-executor/queue": "gpu high",
    }


def test_a_workload_that_is_no_task_has_no_labels_for_what_it_lacks() -> None:
    request = request_of(kind="callback", dag_id="", task_id="", run_id="", try_number=0)
    assert set(labels_of(request)) == {
        f"hybrid-executor/{name}" for name in ("instance", "attempt", "queue", "launch", "kind")
    }
    assert set(annotations_of(request)) == {"hybrid-executor/attempt", "hybrid-executor/queue"}


def test_selectors_find_an_instance_without_what_is_done_and_an_attempt_with_it() -> None:
    assert instance_selector("prod") == "hybrid-executor/instance=prod,airflow_executor_done!=True"
    assert instance_selector("prod", with_done=True) == "hybrid-executor/instance=prod"
    assert attempt_selector("prod", "a-1") == "hybrid-executor/instance=prod,hybrid-executor/attempt=a-1"


def test_the_mark_is_the_one_that_airflow_users_know() -> None:
    assert done_patch() == {"metadata": {"labels": {"airflow_executor_done": "True"}}}


def test_a_request_does_not_show_its_token_or_overrides() -> None:
    shown = repr(request_of(payload='{"token": "tell-nobody"}', overrides=Overrides({"secret": "tell-nobody"})))
    assert "tell-nobody" not in shown
