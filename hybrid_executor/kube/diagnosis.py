"""What a pod's status means for its task.

Pure: a raw pod and its event's type in, one :class:`Diagnosis` out. The container ``base`` (else the first) runs the
task and decides: once it has ended, running sidecars do not matter.

A kubelet reports that a container ended before it reports the end of the pod: phase, reason, message and the
condition DisruptionTarget follow a second or more later (recorded on Kubernetes 1.36). Until then a verdict is not
settled: what looks like exit code 137 may turn out to be an eviction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hybrid_executor.kube.causes import (
    DISRUPTION,
    TERMINATED,
    WAITING,
    WORDS,
    Category,
    category_of_pod_reason,
)
from hybrid_executor.kube.masking import make_fit
from hybrid_executor.kube.registry import may_pass
from hybrid_executor.kube.restarts import is_started_again

Phase = Literal["pending", "running", "succeeded", "failed", "unknown", "gone"]
_Raw = Mapping[str, Any]

_BASE = "base"
_NOTHING: dict[str, Any] = {}
_MAX_MESSAGE = 500
_HARMLESS_PULL_ERROR = "pull QPS exceeded"  # the kubelet limits its own pulls and goes on by itself
_NEVER_STARTED = frozenset({Category.NODE_REFUSED, Category.START_ERROR, Category.INIT_FAILED})
_ENDED_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a pod's status says.

    :ivar phase: the verdict. ``succeeded`` and ``failed`` are final. ``gone`` says nothing about the task: the pod left
        the watch by its labels (marked done, or relabelled by hand); ask for the pod itself. ``unknown``: wait.
    :ivar category: the stable category.
    :ivar container: the container that decided, "" for the pod as a whole.
    :ivar reason: Kubernetes' own word (OOMKilled, Evicted, ErrImagePull, ...), "" for none.
    :ivar exit_code: None where no container ended.
    :ivar signal: what killed the container, None for nothing.
    :ivar message: Kubernetes' own message, shortened, "" for none. With OOMKilled also the memory limit.
    :ivar node: "" before the pod has one.
    :ivar task_may_have_started: False only if it certainly did not: then the pod may be launched again.
    :ivar is_settled: False if the task's container has ended and the node has not reported the end of the pod yet.
    """

    phase: Phase
    category: Category
    container: str = ""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    node: str = ""
    task_may_have_started: bool = False
    is_settled: bool = True

    @property
    def is_final(self) -> bool:
        """The task's end is known; its cause is certain only where the verdict is settled."""
        return self.phase in ("succeeded", "failed")


def diagnose(pod: _Raw, *, event_type: str, fatal_pending_reasons: Collection[str]) -> Diagnosis:
    """Return what ``pod`` means for its task.

    :param event_type: ADDED, MODIFIED or DELETED; "ADDED" for pods of a list.
    :param fatal_pending_reasons: waiting reasons that fail a pending pod.
    """
    metadata, spec, status = pod.get("metadata") or _NOTHING, pod.get("spec") or _NOTHING, pod.get("status") or _NOTHING
    is_deleted = event_type == "DELETED"
    is_terminating = metadata.get("deletionTimestamp") is not None
    if is_deleted and not is_terminating:
        return Diagnosis("gone", Category.UNLABELLED, node=spec.get("nodeName") or "", task_may_have_started=True)
    case = _Case(spec, status)
    if status.get("reason") == "ProviderFailed":
        return case.of_pod("failed", Category.PROVIDER_FAILED, started=case.has_run)
    if case.has_ended:
        # The API gives no grace to a pod that has ended: one with grace ran when its deletion was asked for.
        had_ended = metadata.get("deletionGracePeriodSeconds") == 0 or (
            is_deleted and status.get("phase") == "Succeeded"
        )
        found = case.of_end(is_terminating=is_terminating, had_ended=had_ended)
        return found if is_deleted or case.is_settled(found) else replace(found, is_settled=False)
    if is_deleted:
        return case.of_deletion()
    if status.get("phase") == "Failed":
        return case.of_failure(is_terminating=is_terminating)
    if case.base_state.get("running") is not None or status.get("phase") == "Running":
        return case.of_running(is_terminating=is_terminating)
    if status.get("phase") == "Succeeded":
        return case.of_pod("succeeded", Category.COMPLETED, started=True)
    if status.get("phase") in ("Pending", None):
        return case.of_waiting(fatal_pending_reasons, is_terminating=is_terminating)
    return case.of_pod("unknown", case.cause or Category.UNKNOWN, started=True)


def sentence(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as a sentence: what happened, to which container, where, and why."""
    details = []
    if diagnosis.container:
        details.append(f"container {diagnosis.container}")
    if diagnosis.reason and diagnosis.reason not in ("Completed", "Error"):
        details.append(diagnosis.reason)
    if diagnosis.exit_code is not None and diagnosis.phase == "failed":
        details.append(f"exit code {diagnosis.exit_code}")
    if diagnosis.signal is not None:
        details.append(f"signal {diagnosis.signal}")
    if diagnosis.node:
        details.append(f"node {diagnosis.node}")
    text = f"The pod {WORDS[diagnosis.category]}"
    if details:
        text += f" ({', '.join(details)})"
    return f"{text}: {diagnosis.message}" if diagnosis.message else f"{text}."


class _Case:
    """One pod's facts, and the diagnosis for each situation."""

    __slots__ = ("base", "base_state", "cause", "disruption", "has_ended", "has_run", "node", "spec", "status")

    def __init__(self, spec: _Raw, status: _Raw) -> None:
        self.spec = spec
        self.status = status
        self.node: str = spec.get("nodeName") or ""
        self.base = _base_of(spec, status)
        self.base_state: _Raw = self.base.get("state") or _NOTHING
        self.disruption = _disruption_of(status)
        self.cause = _cause_of(status, self.disruption)
        ended = self.base_state.get("terminated")
        self.has_ended = ended is not None and self._ends_for_good(ended)
        self.has_run = bool(
            (ended is not None and not _never_ran(ended))
            or self.base_state.get("running") is not None
            or (self.base.get("lastState") or _NOTHING).get("terminated")
            or self.base.get("restartCount")
        )

    def _ends_for_good(self, terminated: _Raw) -> bool:
        """A container with another restart policy than ours, or with rules of its own, may be started again."""
        if self.status.get("phase") in _ENDED_PHASES:
            return True
        return not is_started_again(self.spec, self.base.get("name") or "", terminated.get("exitCode"))

    def of_pod(
        self, phase: Phase, category: Category, *, started: bool, reason: str = "", message: str = ""
    ) -> Diagnosis:
        return Diagnosis(
            phase,
            category,
            reason=reason or self._reason_of_pod(),
            message=_short(message or self._message_of_pod()),
            node=self.node,
            task_may_have_started=started,
        )

    def is_settled(self, found: Diagnosis) -> bool:
        """Return whether the node has made its final report about a pod whose task's container has ended.

        It says so by the phase. That of a success shows earlier: in the reason of the condition Ready, which a kubelet
        takes from the phase that it still holds back.
        """
        if self.status.get("phase") in _ENDED_PHASES:
            return True
        return found.phase == "succeeded" and any(
            condition.get("type") == "Ready" and condition.get("reason") == "PodCompleted"
            for condition in self.status.get("conditions") or ()
        )

    def of_end(self, *, is_terminating: bool, had_ended: bool) -> Diagnosis:
        """The base container has ended: exit code 0 is a success, unless something ended the container.

        :param had_ended: before the pod's deletion was asked for, as far as is known.
        """
        terminated: _Raw = self.base_state["terminated"]
        phase = self.status.get("phase")
        told = TERMINATED.get(terminated.get("reason") or "")
        cause = self.cause if is_terminating or phase != "Succeeded" else None
        if terminated.get("exitCode") == 0 and told is None:
            if cause is None and (had_ended or not is_terminating):
                return self._of_termination("succeeded", Category.COMPLETED, self.base, terminated)
            return self._of_termination("failed", cause or Category.DELETED, self.base, terminated)
        if not self.has_run and is_terminating:
            return self.of_pod("failed", cause or Category.DELETED_BEFORE_START, started=False)
        category = told or Category.EXIT_NONZERO
        if cause is not None and category is not Category.OOM_KILLED:
            category = cause
        elif is_terminating and category is Category.EXIT_NONZERO:
            category = Category.DELETED
        return self._of_termination("failed", category, self.base, terminated)

    def of_deletion(self) -> Diagnosis:
        """The pod is gone, and its task's container had not ended."""
        if self.has_run or self.status.get("phase") == "Running":
            return self.of_pod("failed", self.cause or Category.DELETED, started=True)
        if self.status.get("phase") == "Failed":
            return self.of_failure(is_terminating=True)
        if self.status.get("phase") == "Succeeded":
            return self.of_pod("succeeded", Category.COMPLETED, started=True)
        if self.status.get("phase") == "Unknown":
            return self.of_pod("failed", self.cause or Category.NODE_LOST, started=True)
        return self.of_pod("failed", self.cause or Category.DELETED_BEFORE_START, started=False)

    def of_failure(self, *, is_terminating: bool) -> Diagnosis:
        """The pod has failed as a whole, and its task's container had not ended."""
        if not self.has_run:
            for container in _init_statuses(self.status):
                terminated = (container.get("state") or _NOTHING).get("terminated")
                if terminated is None or terminated.get("exitCode") == 0:
                    continue
                if _never_ran(terminated):
                    return self.of_pod("failed", self.cause or Category.DELETED_BEFORE_START, started=False)
                category = Category.DELETED_BEFORE_START if is_terminating else Category.INIT_FAILED
                return self._of_termination("failed", self.cause or category, container, terminated)
        waiting = self.base_state.get("waiting")
        if waiting is not None and not self.has_run:
            known = WAITING.get(waiting.get("reason") or "")
            if known is not None and self.cause is None:
                return self._of_wait("failed", known, self.base, waiting)
            return self.of_pod("failed", self.cause or Category.POD_FAILED, started=False)
        # Old kubelets drop container statuses when they evict, so without a status something may have run.
        was_on_node = bool(self.node and self.status.get("startTime")) or not self.spec
        category = self.cause or Category.POD_FAILED
        # If a container ran, that counts more than a node's report that it refused the pod.
        started = self.has_run or (was_on_node and category not in _NEVER_STARTED)
        return self.of_pod("failed", category, started=started)

    def of_running(self, *, is_terminating: bool) -> Diagnosis:
        waiting = self.base_state.get("waiting")
        if is_terminating:
            return self.of_pod("running", Category.TERMINATING, started=True)
        if waiting is not None and waiting.get("reason") in WAITING:
            return self._of_wait("running", WAITING[waiting["reason"]], self.base, waiting)
        return Diagnosis(
            "running", Category.RUNNING, self.base.get("name") or "", node=self.node, task_may_have_started=True
        )

    def of_waiting(self, fatal_reasons: Collection[str], *, is_terminating: bool) -> Diagnosis:
        """Nothing of the task runs yet."""
        milder: Diagnosis | None = None
        for container in _waiting_order(self.base, self.status):
            waiting = (container.get("state") or _NOTHING).get("waiting") or _NOTHING
            reason = waiting.get("reason") or ""
            if reason in fatal_reasons and not _may_pass(reason, waiting.get("message") or ""):
                return self._of_wait("failed", WAITING.get(reason, Category.START_ERROR), container, waiting)
            if milder is None and reason in WAITING:
                milder = self._of_wait("pending", WAITING[reason], container, waiting)
        if is_terminating:
            return self.of_pod("pending", Category.TERMINATING, started=self.has_run)
        if milder is not None:
            return milder
        for condition in self.status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return self.of_pod(
                    "pending",
                    Category.UNSCHEDULABLE,
                    started=False,
                    reason=condition.get("reason") or "",
                    message=condition.get("message") or "",
                )
        return self.of_pod("pending", Category.PENDING, started=self.has_run)

    def _of_termination(self, phase: Phase, category: Category, container: _Raw, terminated: _Raw) -> Diagnosis:
        """One container's end. If the cluster ended the pod, its reason comes before the container's."""
        exit_code = terminated.get("exitCode")
        reason, message = terminated.get("reason") or "", terminated.get("message") or ""
        if category is self.cause:
            reason, message = self._reason_of_pod() or reason, self._message_of_pod() or message
        if terminated.get("reason") == "OOMKilled":
            message = "; ".join(filter(None, (_memory_limit(self.spec, container), message)))
        signal = terminated.get("signal") or (exit_code - 128 if exit_code and 128 < exit_code < 160 else None)
        return Diagnosis(
            phase,
            category,
            container.get("name") or "",
            reason or self._reason_of_pod(),
            exit_code,
            signal if phase == "failed" else None,
            _short(message or self._message_of_pod()),
            self.node,
            category not in _NEVER_STARTED and (container is self.base or self.has_run),
        )

    def _reason_of_pod(self) -> str:
        return self.status.get("reason") or self.disruption.get("reason") or ""

    def _message_of_pod(self) -> str:
        return self.status.get("message") or self.disruption.get("message") or ""

    def _of_wait(self, phase: Phase, category: Category, container: _Raw, waiting: _Raw) -> Diagnosis:
        return Diagnosis(
            phase,
            category,
            container.get("name") or "",
            waiting.get("reason") or "",
            message=_short(waiting.get("message")),
            node=self.node,
            task_may_have_started=self.has_run,
        )


def is_throttled_by_node(message: str) -> bool:
    """Return whether the kubelet itself delays the pull."""
    return _HARMLESS_PULL_ERROR in message


def _may_pass(reason: str, message: str) -> bool:
    return WAITING.get(reason) is Category.IMAGE_PULL and may_pass(message)


def _base_of(spec: _Raw, status: _Raw) -> _Raw:
    """Return the status of the container that runs the task, empty before the node reports any."""
    statuses: list[_Raw] = status.get("containerStatuses") or []
    for container in statuses:
        if container.get("name") == _BASE:
            return container
    declared = spec.get("containers") or ()
    if any(container.get("name") == _BASE for container in declared):
        return _NOTHING
    first = declared[0].get("name") if declared else None
    for container in statuses:
        if first is None or container.get("name") == first:
            return container
    return _NOTHING


def _cause_of(status: _Raw, disruption: _Raw) -> Category | None:
    """Return what the cluster itself did to the pod, None for nothing."""
    reason = status.get("reason")
    known = category_of_pod_reason(reason) if reason else None
    return known or DISRUPTION.get(disruption.get("reason") or "")


def _disruption_of(status: _Raw) -> _Raw:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            found: _Raw = condition
            return found
    return _NOTHING


def _memory_limit(spec: _Raw, container: _Raw) -> str:
    """Return in words how much memory a container was allowed; "" if the pod does not tell.

    A kubelet that can change limits of running containers reports the present ones.
    """
    declared = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    own = next((found for found in declared if found.get("name") == container.get("name")), None)
    if own is None:
        return ""
    for whose, holder in (("its", container), ("its", own), ("its pod's", spec)):
        limit = ((holder.get("resources") or _NOTHING).get("limits") or _NOTHING).get("memory")
        if limit:
            return f"{whose} memory limit is {limit}"
    return "it has no memory limit, so its node had no memory left"


def _never_ran(terminated: _Raw) -> bool:
    """Return whether the kubelet only reports an end for a container that it never started."""
    return terminated.get("reason") == "ContainerStatusUnknown" and not terminated.get("startedAt")


def _init_statuses(status: _Raw) -> list[_Raw]:
    return status.get("initContainerStatuses") or []


def _waiting_order(base: _Raw, status: _Raw) -> Iterator[_Raw]:
    yield from _init_statuses(status)
    if base:
        yield base
    yield from (container for container in status.get("containerStatuses") or () if container is not base)


def _short(text: str | None) -> str:
    words = make_fit(" ".join((text or "").split()))
    return words if len(words) <= _MAX_MESSAGE else words[: _MAX_MESSAGE - 3] + "..."
