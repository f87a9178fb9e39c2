"""Our decisions about what a real API server said, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.errors import KubeGone
from hybrid_executor.kube.diagnosis import diagnose
from hybrid_executor.kube.failures import error_of_answer, error_of_status
from hybrid_executor.kube.refusal import judge_create_error

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "action", "concerns"),
    [
        ("create pod in a namespace that does not exist", "retry", "namespace"),
        ("create the same pod again", "exists", "pod"),
        ("create with a bad name", "reject", "pod"),
        ("create with malformed JSON type", "reject", "pod"),
        ("create with an unknown field", "reject", "pod"),
        ("create over quota", "retry", "demand"),
        ("create in a terminating namespace", "retry", "namespace"),
        ("wrong token", "retry", "alike"),
        ("patch with a stale resourceVersion", "retry", "pod"),
        ("list at an old exact version", "retry", "pod"),
    ],
)
def test_a_recorded_refusal_is_judged(name: str, action: str, concerns: str) -> None:
    answer = RECORDED["answers"][name]
    error = error_of_answer(
        name, status=answer["status"], headers=answer["headers"], body=json.dumps(answer["body"]).encode()
    )
    verdict = judge_create_error(error)
    assert (verdict.action, verdict.concerns) == (action, concerns)
    if concerns == "demand":
        assert answer["body"]["message"].endswith(verdict.reason.removeprefix("Waiting for quota: "))
    elif action != "exists":
        assert answer["body"]["message"] in verdict.reason


def verdicts(name: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for event in RECORDED["watches"][name]:
        if event["type"] != "BOOKMARK":
            diagnosis = diagnose(event["object"], event_type=event["type"], fatal_pending_reasons=())
            found.append((event["object"]["metadata"]["name"], diagnosis.phase, str(diagnosis.category)))
    return found


def test_a_recorded_life_of_a_pod_is_followed() -> None:
    assert verdicts("watch a pod's life from the list's version") == [
        ("w1", "pending", "pending"),
        ("w1", "running", "running"),
        ("w1", "succeeded", "completed"),
        ("w1", "succeeded", "completed"),
        ("w1", "succeeded", "completed"),
    ]


def test_a_pod_that_left_the_selector_by_its_labels_is_gone_and_not_failed() -> None:
    found = [
        row[1:] for row in verdicts("watch with a selector that a label change leaves and enters") if row[0] == "w2"
    ]
    assert found == [("pending", "pending"), ("gone", "unlabelled"), ("pending", "pending")]


def test_a_recorded_graceful_deletion_fails_only_once_the_pod_is_gone() -> None:
    assert [row[1:] for row in verdicts("watch a graceful deletion")] == [
        ("running", "terminating"),
        ("running", "terminating"),
        ("failed", "deleted"),
    ]


def test_a_recorded_410_inside_a_stream_is_gone() -> None:
    (event,) = RECORDED["watches"]["watch from version 1"]
    error = error_of_status("watch pods", event["object"])
    assert isinstance(error, KubeGone)
    assert "too old resource version: 1 (3564)" in str(error)


@pytest.mark.parametrize(
    ("name", "phase", "category"),
    [
        ("patch status oom Failed", "failed", "oom_killed"),
        ("patch status evicted Failed", "failed", "evicted"),
        ("patch status imagepull Pending", "failed", "image_pull"),
    ],
)
def test_a_recorded_failure_has_its_category(name: str, phase: str, category: str) -> None:
    found = diagnose(RECORDED["pods"][name], event_type="MODIFIED", fatal_pending_reasons={"ErrImagePull"})
    assert (found.phase, str(found.category)) == (phase, category)
