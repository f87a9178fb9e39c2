"""What is seen of a pod, and what follows from it for its attempt's record and for the pod. Pure: no effects.

Promises: every change is fenced by the generation that the pod was launched for, so an old pod never touches its
successor; a pod that counts as failed is never left where it may still start its task.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from hybrid_executor.agent.identity import PodIdentity, identify
from hybrid_executor.agent.removal import Cleanup
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.awaiting_pod import AWAITED, hand_over_state, is_of_one_attempt
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.demand import demand_of
from hybrid_executor.kube.diagnosis import Diagnosis, diagnose, sentence
from hybrid_executor.kube.warm_pod import CLAIMED, NOTHING_RAN
from hybrid_executor.states import State
from hybrid_executor.store import Change, Claim, Outcome

log = logging.getLogger(__name__)

BEFORE_START = (State.SUBMITTED, State.LAUNCHING, State.PENDING)
"""States in which an attempt's payload is still there: from others only its owner can submit it again."""

# Once an attempt is lost, its owner decides. From its pod only a success still counts.
_UNDECIDED = (*BEFORE_START, State.RUNNING)
_PERMANENT = frozenset({Category.IMAGE_INVALID, Category.CONFIG_ERROR})
_NO_SUCH_IMAGE = re.compile(
    r"not found|manifest unknown|does not exist|access denied|unauthorized|authentication required|forbidden"
    r"|never pull|errimageneverpull|not present with pull policy",
    re.IGNORECASE,
)
_MOST_HAND_OVERS = 5
_WAITS_LONG = frozenset({Category.PENDING})
_DEFAULT_GRACE_SECONDS = 30.0  # Kubernetes' own


@dataclass(frozen=True, slots=True)
class Sighting:
    """One of our pods at one moment. It is small: lists may hold thousands.

    :ivar has_ended: nothing in the pod runs or will run.
    :ivar is_terminating: its deletion has begun.
    :ivar is_gone: it does not exist any more.
    :ivar freed: the resources of quotas that its end gives back; none before its end, ``None`` if that is not known.
    :ivar runs_on: at least one of its containers runs, or is still to start beside the others.
    :ivar grace_seconds: how long its containers may take to end.
    :ivar started_after: seconds from its creation to the start of its task's container; None where it does not run.
    :ivar awaits: that container runs and gets the workload from an agent, if it has not got it yet.
    :ivar needs_workload: nobody has begun to give it its workload, so its task has not started.
    :ivar was_warm: the same of a pod that was a warm one. An agent looks after it already, unless Redis has lost that.
    :ivar is_unseen: nobody saw how it ended. An agent may have deleted it, or Redis may have lost that the attempt has
        another pod by now.
    """

    identity: PodIdentity
    diagnosis: Diagnosis
    has_ended: bool = False
    is_terminating: bool = False
    is_gone: bool = False
    freed: frozenset[str] | None = frozenset()
    runs_on: bool = False
    grace_seconds: float = _DEFAULT_GRACE_SECONDS
    started_after: float | None = None
    awaits: bool = False
    needs_workload: bool = False
    was_warm: bool = False
    is_unseen: bool = False


def sight_safely(
    pod: Mapping[str, Any], *, event_type: str = "ADDED", fatal_pending_reasons: Collection[str] = ()
) -> Sighting | None:
    """Return what :func:`sight` does, and None for a pod that cannot be read: it is logged and left as it is."""
    try:
        return sight(pod, event_type=event_type, fatal_pending_reasons=fatal_pending_reasons)
    except Exception:
        name = (pod.get("metadata") or {}).get("name") if isinstance(pod, Mapping) else None
        log.exception("The status of pod %s cannot be read; the pod is left as it is", name)
        return None


def sight(
    pod: Mapping[str, Any], *, event_type: str = "ADDED", fatal_pending_reasons: Collection[str] = ()
) -> Sighting | None:
    """Return the sighting of a raw pod, None for a pod that is not ours."""
    identity = identify(pod)
    if identity is None:
        return None
    status = pod.get("status") or {}
    has_ended = status.get("phase") in ("Succeeded", "Failed")
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    is_gone = event_type == "DELETED"
    diagnosis = diagnose(pod, event_type=event_type, fatal_pending_reasons=fatal_pending_reasons)
    is_terminating = (pod.get("metadata") or {}).get("deletionTimestamp") is not None
    started_after = _started_after(pod) if diagnosis.phase == "running" else None
    awaits = was_warm = needs_workload = False
    state = hand_over_state(pod)
    if state in (AWAITED, CLAIMED):
        gets_workload = started_after is not None and not is_terminating and not is_gone
        awaits, was_warm = (gets_workload, False) if is_of_one_attempt(pod) else (False, gets_workload)
    if state == CLAIMED:
        diagnosis, started_after = of_claimed_pod(diagnosis), started_after if awaits else None
    elif state == AWAITED:
        needs_workload = is_of_one_attempt(pod)
        diagnosis = of_awaiting_pod(diagnosis, runs=awaits)
    return Sighting(
        identity,
        diagnosis,
        has_ended=has_ended,
        is_terminating=is_terminating,
        is_gone=is_gone,
        freed=demand_of(pod, namespace=identity.namespace).resources if has_ended or is_gone else frozenset(),
        runs_on=not has_ended
        and (
            _is_in_state(status, "containerStatuses", "running", "waiting")
            or _is_in_state(status, "initContainerStatuses", "running")
        ),
        grace_seconds=_DEFAULT_GRACE_SECONDS if grace is None else float(grace),
        started_after=started_after,
        awaits=awaits,
        needs_workload=needs_workload,
        was_warm=was_warm,
    )


def of_awaiting_pod(diagnosis: Diagnosis, *, runs: bool) -> Diagnosis:
    """Return what the diagnosis of a pod says about its attempt if nobody has begun to hand the workload over to it.

    Whatever has happened to it, its task has not started.

    :param runs: its task's container runs, not only another one.
    """
    if diagnosis.phase == "running":
        category = Category.RUNNING if runs else Category.PENDING
        return replace(diagnosis, phase="pending", category=category, task_may_have_started=False)
    if diagnosis.phase != "failed":
        return diagnosis
    category = diagnosis.category
    if category is Category.DELETED:
        category = Category.DELETED_BEFORE_START
    elif category is Category.EXIT_NONZERO and diagnosis.exit_code == NOTHING_RAN:
        category = Category.NOT_HANDED_OVER
    return replace(diagnosis, category=category, task_may_have_started=False)


def of_claimed_pod(diagnosis: Diagnosis) -> Diagnosis:
    """Return what a pod's diagnosis says about its attempt once an agent may have handed the workload over.

    That its container runs says nothing: whether it has accepted the workload is recorded by the launcher. Its exit
    code tells if it never will.
    """
    if diagnosis.phase == "running":
        return replace(diagnosis, phase="pending", category=Category.RUNNING)
    if diagnosis.phase == "failed" and diagnosis.exit_code == NOTHING_RAN:
        return replace(diagnosis, category=Category.NOT_HANDED_OVER, task_may_have_started=False)
    return diagnosis


def _started_after(pod: Mapping[str, Any]) -> float | None:
    """Return the seconds from a pod's creation to the start of its task's container, ``None`` if it shows no times."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    status = next((status for status in statuses if status.get("name") == "base"), statuses[0])
    started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
    created = pod["metadata"].get("creationTimestamp")
    try:
        begin, end = (datetime.fromisoformat(str(text).replace("Z", "+00:00")) for text in (created, started))
    except ValueError:
        return None
    return max(0.0, (end - begin).total_seconds())


def _is_in_state(status: Mapping[str, Any], group: str, *states: str) -> bool:
    containers = cast(list[Mapping[str, Any]], status.get(group) or [])
    return any((container.get("state") or {}).get(state) is not None for container in containers for state in states)


def change_for(diagnosis: Diagnosis, pod: PodIdentity, settings: KubernetesSettings) -> Change | None:
    """Return the change of the attempt's record that follows from a pod's diagnosis, None for none."""
    found: dict[str, str | int] = {"pod": pod.name, "namespace": pod.namespace, "holder": pod.name}
    if diagnosis.node:
        found["node"] = diagnosis.node
    if diagnosis.phase == "pending":
        return Change(attempt=pod.attempt, to=State.PENDING, generation=pod.generation, fields=found)
    if diagnosis.phase == "running":
        return Change(
            attempt=pod.attempt,
            to=State.RUNNING,
            generation=pod.generation,
            sources=BEFORE_START,
            fields={**found, "note": "", "category": ""},
        )
    if diagnosis.phase == "succeeded":
        ended = {**found, "category": str(diagnosis.category), "exit_code": _exit_code(diagnosis), "note": ""}
        return Change(attempt=pod.attempt, to=State.SUCCEEDED, generation=pod.generation, fields=ended)
    if diagnosis.phase == "failed":
        return failure_for(diagnosis, pod, settings)
    return None


def failure_for(diagnosis: Diagnosis, pod: PodIdentity, settings: KubernetesSettings) -> Change:
    """Return the change for a pod that has failed: launch again, let the owner decide (``lost``), or fail.

    A pod whose task certainly did not start is launched again, if that may help. If the pod died of something other
    than its task, the owner decides, since only Airflow knows whether the task had started.
    """
    words = sentence(diagnosis)
    fields: dict[str, str | int] = {
        "reason": words,
        "category": str(diagnosis.category),
        "exit_code": _exit_code(diagnosis),
        "note": "",
    }
    if diagnosis.node:
        fields["node"] = diagnosis.node
    to = State.FAILED
    only_pod = "" if diagnosis.task_may_have_started else pod.name
    may_launch = settings.may_launch_again(pod.failed_launches + 1) and not is_permanent(diagnosis, settings)
    if diagnosis.category is Category.NOT_HANDED_OVER:
        # Neither the task nor its pod is to blame. After some tries, its owner makes a new workload.
        may_launch, to = pod.failed_launches < _MOST_HAND_OVERS, State.LOST
    if may_launch and diagnosis.task_may_have_started:
        to = State.LOST
    elif may_launch:
        return Change(
            attempt=pod.attempt,
            to=State.SUBMITTED,
            generation=pod.generation,
            sources=BEFORE_START,
            relaunch=True,
            only_pod=only_pod,
            fields={**fields, "holder": "", "note": f"Launched again: {words}"},
        )
    return Change(
        attempt=pod.attempt,
        to=to,
        generation=pod.generation,
        sources=_UNDECIDED,
        only_pod=only_pod,
        fields={**fields, "pod": pod.name, "namespace": pod.namespace, "holder": pod.name},
    )


def blocks_relaunch(change: Change, seen: Sighting) -> bool:
    """Return whether a pod has to be deleted before its attempt is launched again: it might still start."""
    return change.relaunch and not seen.is_gone and not seen.has_ended


def may_park(seen: Sighting) -> bool:
    """Return whether it is certain that a pod is no more and has not started its task.

    If its attempt is to go on to another target, that is no failure.
    """
    return (seen.is_gone or seen.has_ended) and not seen.diagnosis.task_may_have_started


def change_instead(change: Change, claim: Claim, pod: PodIdentity) -> Change | None:
    """Return the change to make instead of one that the record refused, None for none.

    A record with a lower generation than its pod was written again after Redis lost data: the pod still belongs to it.
    An attempt that is recorded as running has no payload any more, so its owner has to submit it again.
    """
    if claim.outcome is Outcome.STALE and claim.generation < pod.generation:
        return replace(change, generation=claim.generation)
    if claim.outcome is Outcome.ILLEGAL and change.relaunch and claim.state == State.RUNNING:
        fields = {name: value for name, value in change.fields.items() if name != "note"}
        return replace(change, to=State.LOST, sources=(State.RUNNING,), relaunch=False, fields={**fields, "note": ""})
    return None


def is_permanent(diagnosis: Diagnosis, settings: KubernetesSettings) -> bool:
    """Return whether another launch would end in the same way, or is switched off."""
    if diagnosis.reason in settings.launch_failure_excluded_reasons or diagnosis.category in _PERMANENT:
        return True
    if diagnosis.category is Category.EXIT_NONZERO:
        return True
    words = f"{diagnosis.reason} {diagnosis.message}"
    return diagnosis.category is Category.IMAGE_PULL and _NO_SUCH_IMAGE.search(words) is not None


def note_for(diagnosis: Diagnosis) -> str:
    """Return what a pod waits for, as text for its record; "" for nothing."""
    if diagnosis.phase == "unknown":
        return sentence(diagnosis)
    if diagnosis.phase in ("pending", "running") and diagnosis.category not in (Category.PENDING, Category.RUNNING):
        return sentence(diagnosis)
    return ""


def wants_events(diagnosis: Diagnosis) -> bool:
    """Return whether only the cluster's events can tell why this pod waits."""
    return diagnosis.phase == "pending" and (
        diagnosis.category in _WAITS_LONG or (diagnosis.category is Category.UNSCHEDULABLE and not diagnosis.message)
    )


def cleanup_for(seen: Sighting, settings: KubernetesSettings) -> Cleanup:
    """Return what happens to a pod whose verdict is final and recorded.

    A pod that counts as failed and could still start its task is always deleted. If a pod is kept while one of its
    containers runs, that is ended, so that a sidecar does not use its node's resources for ever.
    """
    if seen.is_terminating or seen.is_gone:
        return "leave"
    has_failed = seen.diagnosis.phase == "failed"
    if has_failed and not seen.has_ended and not seen.diagnosis.task_may_have_started:
        return "delete"
    if settings.delete_worker_pods and (settings.delete_worker_pods_on_failure or not has_failed):
        return "delete"
    return "end" if seen.runs_on else "mark"


def cleanup_of_superseded(seen: Sighting, settings: KubernetesSettings) -> Cleanup:
    """Return what happens to a pod whose attempt was revoked or launched again: it must not run."""
    if seen.is_terminating or seen.is_gone:
        return "leave"
    return "mark" if seen.has_ended and not settings.delete_worker_pods else "delete"


def cleanup_after(claim: Claim, seen: Sighting, settings: KubernetesSettings) -> Cleanup:
    """Return what happens to a pod, given the record's answer to the change."""
    if claim.outcome is Outcome.ELSEWHERE:
        return cleanup_of_superseded(seen, settings)
    if claim.outcome is not Outcome.MISSING and (
        claim.generation > seen.identity.generation or claim.state == State.REVOKED
    ):
        return cleanup_of_superseded(seen, settings)
    # A running pod without a record (Redis lost its data) is still somebody's task.
    return cleanup_for(seen, settings) if seen.diagnosis.is_final else "leave"


def _exit_code(diagnosis: Diagnosis) -> str:
    return "" if diagnosis.exit_code is None else str(diagnosis.exit_code)
