"""Which pods are left over."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hybrid_executor.kube.leftovers import Age, why_left_over

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
AGE = Age(pending=timedelta(minutes=30), completed=timedelta(minutes=1))


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(phase: str, *, age: float = 60, ended: float | None = None, **more: Any) -> dict[str, Any]:
    statuses = [{"name": "base", "state": {"terminated": {"finishedAt": ago(ended)}}}] if ended is not None else []
    return {
        "metadata": {"creationTimestamp": ago(age), **more.pop("metadata", {})},
        "spec": {"restartPolicy": more.pop("policy", "Never")},
        "status": {"phase": phase, "containerStatuses": statuses, **more},
    }


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (pod("Succeeded", ended=10), "succeeded, ended 10 min ago"),
        (pod("Failed", ended=2), "failed, ended 2 min ago"),
        (pod("Failed", reason="Evicted", policy="Always"), "failed Evicted, ended 60 min ago"),
        (pod("Failed", conditions=[{"lastTransitionTime": ago(5)}]), "failed, ended 5 min ago"),
        (pod("Pending", age=31), "pending for 31 min"),
    ],
)
def test_it_is_left_over(found: dict[str, Any], why: str) -> None:
    assert why_left_over(found, AGE, now=NOW) == why


@pytest.mark.parametrize(
    "found",
    [
        pod("Running"),
        pod("Unknown"),
        pod("Pending", age=29),
        pod("Succeeded", ended=0.5),
        pod("Failed", ended=10, policy="OnFailure"),
        pod("Succeeded", ended=10, metadata={"deletionTimestamp": ago(0)}),
        {"metadata": {}, "status": {}},
        {"metadata": {}, "spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed"}},
    ],
)
def test_it_is_kept(found: dict[str, Any]) -> None:
    assert why_left_over(found, AGE, now=NOW) == ""


def test_with_no_wait_a_pod_is_left_over_as_soon_as_it_ended() -> None:
    at_once = Age(pending=timedelta(minutes=30), completed=timedelta())
    assert why_left_over(pod("Succeeded", ended=0), at_once, now=NOW)
