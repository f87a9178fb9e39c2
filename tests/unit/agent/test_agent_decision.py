"""What follows from a diagnosis, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.agent.identity import ANNOTATION_GENERATION, PodIdentity
from hybrid_executor.agent.watch.decision import (
    BEFORE_START,
    Sighting,
    change_for,
    change_instead,
    cleanup_after,
    cleanup_for,
    note_for,
    sight,
    sight_safely,
    wants_events,
)
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis
from hybrid_executor.kube.names import LABEL_ATTEMPT
from hybrid_executor.states import State
from hybrid_executor.store import Claim, Outcome

SETTINGS = KubernetesSettings()
NO_RELAUNCH = KubernetesSettings(pod_launch_failure_retries=0)
ALWAYS = KubernetesSettings(pod_launch_failure_retries=-1)


def identity(launch: int = 0, generation: int = 1) -> PodIdentity:
    return PodIdentity(AttemptId("a"), launch, generation, "ns", "pod", "uid", "5")


def failed(category: Category, *, started: bool, reason: str = "", **rest: Any) -> Diagnosis:
    return Diagnosis("failed", category, reason=reason, task_may_have_started=started, **rest)


DELETED_EARLY = failed(Category.DELETED_BEFORE_START, started=False)
OOM = failed(Category.OOM_KILLED, started=True, reason="OOMKilled", exit_code=137, node="n1")
PENDING = Diagnosis("pending", Category.PENDING)
RUNNING = Diagnosis("running", Category.RUNNING, node="n1", task_may_have_started=True)
DONE = Diagnosis("succeeded", Category.COMPLETED, exit_code=0, task_may_have_started=True)


@pytest.mark.parametrize(
    ("diagnosis", "state"),
    [
        (PENDING, State.PENDING),
        (RUNNING, State.RUNNING),
        (DONE, State.SUCCEEDED),
        (DELETED_EARLY, State.SUBMITTED),
        (failed(Category.EVICTED, started=False, reason="Evicted"), State.SUBMITTED),
        (failed(Category.START_ERROR, started=False, reason="CreateContainerError"), State.SUBMITTED),
        (failed(Category.IMAGE_PULL, started=False, reason="ErrImagePull", message="i/o timeout"), State.SUBMITTED),
        (failed(Category.IMAGE_PULL, started=False, reason="ErrImagePull", message="x: not found"), State.FAILED),
        (failed(Category.IMAGE_PULL, started=False, reason="ErrImageNeverPull"), State.FAILED),
        (failed(Category.IMAGE_INVALID, started=False, reason="InvalidImageName"), State.FAILED),
        (failed(Category.CONFIG_ERROR, started=False, reason="CreateContainerConfigError"), State.FAILED),
        (failed(Category.INIT_FAILED, started=False, reason="Error"), State.FAILED),
        (failed(Category.EXIT_NONZERO, started=True, reason="Error", exit_code=1), State.FAILED),
        (failed(Category.EXIT_NONZERO, started=True, reason="", exit_code=1), State.FAILED),
        (OOM, State.LOST),
        (failed(Category.EVICTED, started=True, reason="Evicted"), State.LOST),
        (failed(Category.NODE_LOST, started=True), State.LOST),
        (failed(Category.DELETED, started=True), State.LOST),
    ],
    ids=lambda value: f"{value.category}-{value.reason}" if isinstance(value, Diagnosis) else value.value,
)
def test_a_diagnosis_changes_the_record_to(diagnosis: Diagnosis, state: State) -> None:
    change = change_for(diagnosis, identity(), SETTINGS)
    assert change is not None
    assert (change.to, change.generation) == (state, 1)
    assert change.relaunch is (state is State.SUBMITTED)


@pytest.mark.parametrize("diagnosis", [Diagnosis("unknown", Category.UNKNOWN), Diagnosis("gone", Category.UNLABELLED)])
def test_what_says_nothing_about_the_task_changes_nothing(diagnosis: Diagnosis) -> None:
    assert change_for(diagnosis, identity(), SETTINGS) is None


@pytest.mark.parametrize("diagnosis", [DELETED_EARLY, OOM])
def test_without_launches_left_a_dead_pod_fails_its_task(diagnosis: Diagnosis) -> None:
    used_up = change_for(diagnosis, identity(launch=1), SETTINGS)
    switched_off = change_for(diagnosis, identity(), NO_RELAUNCH)
    unlimited = change_for(diagnosis, identity(launch=99), ALWAYS)
    assert used_up is not None
    assert switched_off is not None
    assert unlimited is not None
    assert (used_up.to, switched_off.to) == (State.FAILED, State.FAILED)
    assert unlimited.to is not State.FAILED


def test_an_excluded_reason_is_the_tasks_own_failure() -> None:
    excluding = KubernetesSettings(launch_failure_excluded_reasons=frozenset({"OOMKilled"}))
    change = change_for(OOM, identity(), excluding)
    assert change is not None
    assert change.to is State.FAILED


def test_a_failure_carries_reason_category_exit_code_and_node() -> None:
    change = change_for(OOM, identity(), SETTINGS)
    assert change is not None
    assert change.fields["category"] == "oom_killed"
    assert change.fields["exit_code"] == "137"
    assert change.fields["node"] == "n1"
    assert "memory" in str(change.fields["reason"])


def test_only_what_has_its_payload_is_launched_again_and_only_what_is_undecided_fails() -> None:
    again, lost = change_for(DELETED_EARLY, identity(), SETTINGS), change_for(OOM, identity(), SETTINGS)
    assert again is not None
    assert lost is not None
    assert again.sources == BEFORE_START
    assert lost.sources == (*BEFORE_START, State.RUNNING)


def test_only_a_pod_whose_task_may_have_started_tells_of_an_attempt_that_has_another_pod_by_now() -> None:
    early, late = change_for(DELETED_EARLY, identity(), SETTINGS), change_for(OOM, identity(), SETTINGS)
    assert early is not None
    assert late is not None
    assert early.only_pod == identity().name
    assert late.only_pod == ""


def test_a_record_written_anew_is_changed_by_the_pod_that_is_older() -> None:
    change = change_for(DONE, identity(generation=3), SETTINGS)
    assert change is not None
    instead = change_instead(change, Claim(Outcome.STALE, "running", 1, ""), identity(generation=3))
    assert instead is not None
    assert instead.generation == 1


def test_a_record_of_a_later_launch_is_not_touched() -> None:
    change = change_for(DONE, identity(), SETTINGS)
    assert change is not None
    assert change_instead(change, Claim(Outcome.STALE, "pending", 2, ""), identity()) is None


def test_an_attempt_taken_for_running_is_left_to_its_owner() -> None:
    change = change_for(DELETED_EARLY, identity(), SETTINGS)
    assert change is not None
    instead = change_instead(change, Claim(Outcome.ILLEGAL, "running", 1, "pod"), identity())
    assert instead is not None
    assert (instead.to, instead.relaunch) == (State.LOST, False)


def seen(diagnosis: Diagnosis, phase: str, **rest: bool) -> Sighting:
    return Sighting(identity(), diagnosis, has_ended=phase in ("Succeeded", "Failed"), **rest)


KEEP_FAILED = KubernetesSettings()
DELETE_ALL = KubernetesSettings(delete_worker_pods_on_failure=True)
KEEP_ALL = KubernetesSettings(delete_worker_pods=False)


@pytest.mark.parametrize(
    ("sighting", "settings", "cleanup"),
    [
        (seen(DONE, "Succeeded"), KEEP_FAILED, "delete"),
        (seen(DONE, "Succeeded"), KEEP_ALL, "mark"),
        (seen(DONE, "Running"), KEEP_FAILED, "delete"),
        (seen(OOM, "Failed"), KEEP_FAILED, "mark"),
        (seen(OOM, "Failed"), DELETE_ALL, "delete"),
        (seen(OOM, "Failed"), KEEP_ALL, "mark"),
        (seen(OOM, "Running"), KEEP_FAILED, "mark"),
        (seen(OOM, "Running", runs_on=True), KEEP_FAILED, "end"),
        (seen(OOM, "Running", runs_on=True), DELETE_ALL, "delete"),
        (seen(DONE, "Running", runs_on=True), KEEP_ALL, "end"),
        (seen(DONE, "Running", runs_on=True), KEEP_FAILED, "delete"),
        (seen(DELETED_EARLY, "Pending"), KEEP_FAILED, "delete"),
        (seen(DELETED_EARLY, "Pending"), KEEP_ALL, "delete"),
        (seen(DONE, "Succeeded", is_terminating=True), KEEP_FAILED, "leave"),
        (seen(DONE, "Succeeded", is_gone=True), KEEP_FAILED, "leave"),
    ],
)
def test_a_pod_that_is_done_with_is(sighting: Sighting, settings: KubernetesSettings, cleanup: str) -> None:
    assert cleanup_for(sighting, settings) == cleanup


@pytest.mark.parametrize(
    ("claim", "sighting", "cleanup"),
    [
        (Claim(Outcome.CHANGED, "running", 1, ""), seen(RUNNING, "Running"), "leave"),
        (Claim(Outcome.ILLEGAL, "succeeded", 1, ""), seen(DONE, "Succeeded"), "delete"),
        (Claim(Outcome.ILLEGAL, "revoked", 2, ""), seen(RUNNING, "Running"), "delete"),
        (Claim(Outcome.STALE, "pending", 2, ""), seen(RUNNING, "Running"), "delete"),
        (Claim(Outcome.CHANGED, "submitted", 2, ""), seen(DELETED_EARLY, "Failed"), "delete"),
        (Claim(Outcome.MISSING, "", 0, ""), seen(RUNNING, "Running"), "leave"),
        (Claim(Outcome.MISSING, "", 0, ""), seen(DONE, "Succeeded"), "delete"),
        (Claim(Outcome.ILLEGAL, "running", 1, ""), seen(PENDING, "Pending"), "leave"),
        (Claim(Outcome.ELSEWHERE, "submitted", 1, ""), seen(PENDING, "Pending", needs_workload=True), "delete"),
        (Claim(Outcome.ELSEWHERE, "running", 1, ""), seen(PENDING, "Running", needs_workload=True), "delete"),
    ],
)
def test_after_the_records_answer_a_pod_is(claim: Claim, sighting: Sighting, cleanup: str) -> None:
    assert cleanup_after(claim, sighting, SETTINGS) == cleanup


def test_a_waiting_pod_says_what_it_waits_for_and_others_say_nothing() -> None:
    unschedulable = Diagnosis("pending", Category.UNSCHEDULABLE, message="0/3 nodes are available")
    assert "0/3 nodes" in note_for(unschedulable)
    assert [note_for(diagnosis) for diagnosis in (PENDING, RUNNING, DONE, OOM)] == [""] * 4
    assert note_for(Diagnosis("unknown", Category.UNKNOWN)) != ""


def test_the_clusters_events_are_asked_where_the_pod_itself_says_nothing() -> None:
    assert wants_events(PENDING)
    assert wants_events(Diagnosis("pending", Category.UNSCHEDULABLE))
    assert not wants_events(Diagnosis("pending", Category.UNSCHEDULABLE, message="0/3 nodes"))
    assert not wants_events(RUNNING)


def test_a_pod_whose_status_nobody_understands_is_left_as_it_is() -> None:
    odd = {
        "metadata": {"name": "odd", "annotations": {"hybrid-executor/attempt": "a", ANNOTATION_GENERATION: "1"}},
        "status": {"phase": "Running", "containerStatuses": 7, "conditions": 7},
    }
    assert sight_safely(odd) is None
    assert sight_safely({**odd, "status": {"phase": "Pending"}}) is not None


@pytest.mark.parametrize(("sidecar", "runs_on"), [("running", True), ("waiting", True), ("terminated", False)])
def test_a_pod_runs_on_while_a_sidecar_runs_or_is_still_to_start(sidecar: str, runs_on: bool) -> None:
    labels = {LABEL_ATTEMPT: "a"}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": labels},
        "spec": {"containers": [{"name": "base"}, {"name": "side"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "base", "state": {"terminated": {"exitCode": 0}}},
                {"name": "side", "state": {sidecar: {"exitCode": 0} if sidecar == "terminated" else {}}},
            ],
        },
    }
    found = sight(pod)
    assert found is not None
    assert found.runs_on is runs_on
