"""Which containers are started again by their node, and what that means for a pod's verdict."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.kube.diagnosis import diagnose
from hybrid_executor.kube.restarts import is_started_again


def rule(action: str, operator: str, *values: int) -> dict[str, Any]:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(values)}}


def spec(*, pod: str = "Never", container: str = "", rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    base: dict[str, Any] = {"name": "base"}
    if container:
        base["restartPolicy"] = container
    if rules:
        base["restartPolicyRules"] = rules
    return {"restartPolicy": pod, "containers": [base]}


@pytest.mark.parametrize(
    ("described", "exit_code", "again"),
    [
        (spec(), 1, False),
        (spec(pod="Always"), 0, True),
        (spec(pod="OnFailure"), 0, False),
        (spec(pod="OnFailure"), 1, True),
        (spec(container="Always"), 0, True),
        (spec(pod="Always", container="Never"), 1, False),
        (spec(container="OnFailure"), 3, True),
        (spec(container="Never", rules=[rule("Restart", "In", 42, 43)]), 42, True),
        (spec(container="Never", rules=[rule("Restart", "In", 42, 43)]), 1, False),
        (spec(container="Never", rules=[rule("Restart", "NotIn", 0, 1)]), 42, True),
        (spec(container="Never", rules=[rule("Restart", "NotIn", 0, 1)]), 1, False),
        (spec(container="OnFailure", rules=[rule("Restart", "In", 0)]), 0, True),
        (spec(container="Never", rules=[rule("RestartAllContainers", "In", 7)]), 7, True),
        (spec(container="Always", rules=[rule("Complete", "In", 7)]), 7, False),
        (spec(rules=[rule("Restart", "Beyond", 7)]), 7, False),
        (spec(rules=[{"action": "Restart"}]), 7, False),
        ({}, 1, False),
    ],
)
def test_policy_of_pod_and_container_and_rules_decide(described: dict[str, Any], exit_code: int, again: bool) -> None:
    assert is_started_again(described, "base", exit_code) is again


def pod(exit_code: int, *, phase: str) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    return {
        "metadata": {"name": "x"},
        "spec": spec(container="Never", rules=[rule("Restart", "In", 42)]),
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": ended}]},
    }


def verdict(described: dict[str, Any]) -> str:
    return diagnose(described, event_type="MODIFIED", fatal_pending_reasons=()).phase


def test_a_container_whose_rules_start_it_again_has_not_failed_while_its_pod_runs() -> None:
    assert verdict(pod(42, phase="Running")) == "running"
    assert verdict(pod(42, phase="Failed")) == "failed"
    assert verdict(pod(1, phase="Failed")) == "failed"
