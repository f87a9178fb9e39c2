"""A pod's status, from what its containers do."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.pod_status import (
    ContainerRecord,
    Verdict,
    kubelet_status,
    pod_phase,
    running,
    scheduled_status,
    terminated,
    waiting,
)

NOW = "2026-01-01T00:00:00Z"
WAITING = waiting("ContainerCreating")
RUNNING = running(NOW)


def ended(code: int) -> dict[str, Any]:
    return terminated(code, started_at=NOW, container_id="c")


def record(state: dict[str, Any], *, is_init: bool = False, is_sidecar: bool = False) -> ContainerRecord:
    return ContainerRecord("x", "image", is_init=is_init, is_sidecar=is_sidecar, state=state)


@pytest.mark.parametrize(
    ("states", "policy", "phase"),
    [
        ([WAITING], "Never", "Pending"),
        ([RUNNING, WAITING], "Never", "Pending"),
        ([RUNNING], "Never", "Running"),
        ([ended(0), RUNNING], "Never", "Running"),
        ([ended(0), ended(0)], "Never", "Succeeded"),
        ([ended(0), ended(1)], "Never", "Failed"),
        ([ended(1)], "OnFailure", "Running"),
        ([ended(0)], "OnFailure", "Succeeded"),
        ([ended(0)], "Always", "Running"),
    ],
)
def test_the_phase_follows_from_the_containers(states: list[dict[str, Any]], policy: str, phase: str) -> None:
    assert pod_phase([record(state) for state in states], policy) == phase


def test_an_init_container_keeps_the_pod_pending_and_fails_it() -> None:
    assert pod_phase([record(RUNNING, is_init=True), record(WAITING)], "Never") == "Pending"
    assert pod_phase([record(ended(1), is_init=True), record(WAITING)], "Never") == "Failed"
    assert pod_phase([record(ended(1), is_init=True), record(WAITING)], "OnFailure") == "Pending"


def test_a_running_sidecar_keeps_the_pod_running() -> None:
    sidecar = record(RUNNING, is_init=True, is_sidecar=True)
    assert pod_phase([sidecar, record(ended(0))], "Never") == "Running"


def test_a_container_that_waits_to_be_restarted_leaves_the_pod_running() -> None:
    crashed = record(waiting("CrashLoopBackOff"))
    crashed.last_state = ended(1)
    assert pod_phase([crashed], "Always") == "Running"


def test_a_failed_container_makes_the_pod_unready_for_that_reason() -> None:
    status = status_of([record(ended(137))])
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert status["phase"] == "Failed"
    assert conditions["Ready"]["reason"] == "PodFailed"
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error"


def test_an_evicted_pod_says_so_whatever_its_containers_did() -> None:
    status = status_of([record(ended(0))], verdict=Verdict("Failed", "Evicted", "low on memory"))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "low on memory")
    assert any(condition["type"] == "DisruptionTarget" for condition in status["conditions"])


def test_a_condition_keeps_its_time_while_its_status_does() -> None:
    old = {"type": "PodScheduled", "status": "False", "lastTransitionTime": NOW}
    problem = scheduled_status({"conditions": [old]}, problem="full")["conditions"]
    solved = scheduled_status({"conditions": [old]})["conditions"]
    assert (problem[0]["lastTransitionTime"], problem[0]["reason"]) == (NOW, "Unschedulable")
    assert solved[0]["status"] == "True"
    assert solved[0]["lastTransitionTime"] > NOW


def status_of(records: list[ContainerRecord], verdict: Verdict | None = None) -> dict[str, Any]:
    previous = {"qosClass": "BestEffort", "conditions": []}
    return kubelet_status(previous, records, ip="127.0.0.1", started_at=NOW, restart_policy="Never", verdict=verdict)
