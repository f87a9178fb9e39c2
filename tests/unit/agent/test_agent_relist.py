"""A list of pods against records."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.agent.identity import ANNOTATION_GENERATION, identify
from hybrid_executor.agent.watch.decision import Sighting, failure_for, sight
from hybrid_executor.agent.watch.relist import ExpectedPod, compare, expects_pod, is_missing, vanished
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record

SETTINGS = KubernetesSettings()
A = AttemptId("a")


def raw_pod(phase: str, *, launch: int = 0, generation: int | None = None) -> dict[str, Any]:
    annotations = {} if generation is None else {ANNOTATION_GENERATION: str(generation)}
    state = {"terminated": {"exitCode": 0}} if phase == "Succeeded" else {"running": {}} if phase == "Running" else {}
    return {
        "metadata": {
            "name": f"pod-{launch}",
            "namespace": "ns",
            "uid": f"uid-{launch}",
            "labels": {"hybrid-executor/attempt": "a", "hybrid-executor/launch": str(launch)},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "base", "args": ["secret"]}], "nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]},
    }


def sighting(phase: str, *, launch: int = 0, generation: int | None = None) -> Sighting:
    seen = sight(raw_pod(phase, launch=launch, generation=generation))
    assert seen is not None
    return seen


def record(state: State, *, generation: int = 1, **rest: Any) -> Record:
    values = {"cluster": "default", "namespace": "ns", "pod": "pod-0"} | rest
    return Record(id=A, state=state, generation=generation, **values)


def test_a_pod_whose_record_says_the_same_asks_for_nothing() -> None:
    repairs = compare([sighting("Running")], {A: record(State.RUNNING)}, SETTINGS)
    assert (repairs.sightings, repairs.cleanups, repairs.fields, repairs.unknown) == ([], [], {}, [])


@pytest.mark.parametrize(("phase", "state"), [("Succeeded", State.RUNNING), ("Running", State.PENDING)])
def test_what_events_missed_is_recorded(phase: str, state: State) -> None:
    seen = sighting(phase)
    assert compare([seen], {A: record(state)}, SETTINGS).sightings == [seen]


@pytest.mark.parametrize(
    ("phase", "stands", "cleanup"),
    [
        ("Succeeded", record(State.SUCCEEDED), "delete"),
        ("Running", record(State.FAILED), "delete"),
        ("Running", record(State.REVOKED, generation=2), "delete"),
        ("Running", record(State.PENDING, generation=2), "delete"),
    ],
)
def test_a_pod_that_is_done_with_is_cleaned_up(phase: str, stands: Record | None, cleanup: str) -> None:
    repairs = compare([sighting(phase)], {A: stands}, SETTINGS)
    assert [found for found, _ in repairs.cleanups] == [cleanup]
    assert repairs.sightings == []


def test_a_pod_that_runs_without_a_record_is_left_alone() -> None:
    seen = sighting("Running")
    repairs = compare([seen], {A: None}, SETTINGS)
    assert (repairs.cleanups, repairs.sightings) == ([], [seen])
    assert [identity.name for identity in repairs.unknown] == ["pod-0"]


def test_a_pod_that_has_ended_without_a_record_is_kept_by_the_recorder() -> None:
    seen = sighting("Succeeded")
    repairs = compare([seen], {A: None}, SETTINGS)
    assert (repairs.cleanups, repairs.sightings, repairs.unknown) == ([], [seen], [])


def test_a_record_that_does_not_know_its_pod_learns_it() -> None:
    repairs = compare([sighting("Running")], {A: record(State.RUNNING, pod="", namespace="")}, SETTINGS)
    assert repairs.fields == {A: {"pod": "pod-0", "namespace": "ns"}}


@pytest.mark.parametrize(
    ("now", "is_gone"),
    [
        (record(State.RUNNING), True),
        (record(State.PENDING), True),
        (record(State.SUCCEEDED), False),
        (record(State.PENDING, generation=2, pod="pod-1"), False),
        (record(State.RUNNING, generation=2), False),
        (None, False),
    ],
)
def test_a_pod_not_on_the_list_is_missing_only_where_its_record_stood_still(now: Record | None, is_gone: bool) -> None:
    assert is_missing(ExpectedPod(1, "ns", "pod-0"), now) is is_gone


@pytest.mark.parametrize(
    ("stands", "is_expected"),
    [
        (record(State.RUNNING), True),
        (record(State.PENDING), True),
        (record(State.LAUNCHING), False),
        (record(State.SUBMITTED), False),
        (record(State.LOST), False),
        (record(State.RUNNING, pod=""), False),
        (record(State.RUNNING, cluster="else"), False),
        (record(State.RUNNING, namespace="else"), False),
    ],
)
def test_a_list_has_to_show_the_pod_of(stands: Record, is_expected: bool) -> None:
    assert expects_pod(stands, cluster="default", namespace="ns") is is_expected


def test_a_vanished_pod_is_left_to_the_owner_since_its_task_may_have_run() -> None:
    identity = identify(raw_pod("Running"))
    assert identity is not None
    change = failure_for(vanished(), identity, SETTINGS)
    assert change.to is State.LOST
    assert "nobody watched" in str(change.fields["reason"])


def test_the_generation_on_a_pod_wins_over_what_its_launch_suggests() -> None:
    plain, marked = identify(raw_pod("Running", launch=2)), identify(raw_pod("Running", launch=2, generation=7))
    assert plain is not None
    assert marked is not None
    assert (plain.generation, marked.generation) == (3, 7)


def test_pods_of_others_have_no_identity() -> None:
    assert identify({"metadata": {"name": "x", "labels": {"app": "web"}}}) is None
