"""What is kept of pods whose attempt has no record now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.agent.watch.unrecorded import KEPT_SECONDS, Unrecorded
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis

RUNNING = Diagnosis("running", Category.RUNNING, task_may_have_started=True)
ENDED = Diagnosis("failed", Category.EXIT_NONZERO, "base", "Error", 3, task_may_have_started=True)
DELETED = Diagnosis("failed", Category.DELETED, task_may_have_started=True)


def seen(diagnosis: Diagnosis, *, uid: str = "u") -> Sighting:
    identity = PodIdentity(
        attempt=AttemptId("a"), launch=0, generation=1, namespace="ns", name="pod", uid=uid, version="1"
    )
    return Sighting(identity, diagnosis)


def test_the_last_sighting_is_asked_about_again_after_a_pause() -> None:
    unrecorded = Unrecorded()
    assert unrecorded.keep(seen(RUNNING), now=0)
    assert unrecorded.keep(seen(ENDED), now=1, lines="why")
    assert unrecorded.due(now=1) == []
    assert unrecorded.due(now=10) == [(seen(ENDED), "why")]


@pytest.mark.parametrize(("first", "counts"), [(ENDED, ENDED), (RUNNING, DELETED)])
def test_that_a_pod_is_deleted_after_its_end_does_not_change_why_it_ended(first: Diagnosis, counts: Diagnosis) -> None:
    unrecorded = Unrecorded()
    unrecorded.keep(seen(first), now=0)
    unrecorded.keep(replace(seen(DELETED), is_gone=True), now=1)
    [(kept, _)] = unrecorded.due(now=10)
    assert (kept.diagnosis, kept.is_gone) == (counts, True)


def test_another_pod_of_the_same_name_is_kept_by_itself() -> None:
    unrecorded = Unrecorded()
    unrecorded.keep(seen(ENDED), now=0)
    unrecorded.keep(seen(DELETED, uid="later"), now=1)
    [(kept, _)] = unrecorded.due(now=10)
    assert kept.diagnosis == DELETED


def test_nothing_is_kept_for_ever() -> None:
    unrecorded = Unrecorded()
    assert unrecorded.keep(seen(ENDED), now=0)
    assert not unrecorded.keep(seen(ENDED), now=KEPT_SECONDS)
    assert len(unrecorded) == 0


def test_what_has_a_record_again_is_forgotten() -> None:
    unrecorded = Unrecorded()
    unrecorded.keep(seen(ENDED), now=0)
    unrecorded.forget([seen(ENDED)])
    assert unrecorded.due(now=10) == []
