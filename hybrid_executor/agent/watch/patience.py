"""Pods whose task's container has ended while their node has not said what became of the pod. No effects.

A kubelet holds back a pod's phase, reason and message until all of its containers have ended. The verdict waits for
them, for a bounded time:

* a failure for :data:`SETTLE_SECONDS`, and where a signal ended the container while others run, for the pod's grace
  period more: that may be the beginning of an eviction, which is said only when the last container has ended;
* a success for :data:`SUCCESS_SECONDS`.

A pod that is deleted because it cannot start is held until it is gone, so that its end is told by why it was deleted.

Bounds are durations on this process's clock, counted from the first sight of the end, so another watcher counts anew.
Promises: what ended first stays the cause. A deletion that is asked for after the task's end does not change why it
ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis, is_throttled_by_node
from hybrid_executor.kube.registry import may_pass

SETTLE_SECONDS = 10.0
"""Kubelets took 1.3 s between the two reports where this was recorded; a busy node takes several times as long."""

SUCCESS_SECONDS = 3.0
"""Shorter: most kubelets show a success in their first report, so this is only for pods whose sidecar goes on."""

REMOVAL_SECONDS = 600.0
"""After that, its deletion is asked for once more."""

_DELETIONS = frozenset({Category.DELETED, Category.DELETED_BEFORE_START})


@dataclass(slots=True)
class _Held:
    sighting: Sighting
    decide_at: float


class Endings:
    """The pods whose verdict waits. Each is held until :meth:`forget`, so that nothing is lost without Redis."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def take(self, seen: Sighting, *, now: float) -> Sighting | None:
        """Return what can be recorded of a pod now, None where its verdict waits.

        :param now: monotonic seconds.
        """
        key = seen.identity.path
        held = self._held.get(key)
        if held is not None and _is_another(held.sighting, seen):
            held = None
        if held is not None and seen.diagnosis.is_final:
            seen = replace(seen, diagnosis=_first_cause(held.sighting.diagnosis, seen.diagnosis))
        if not seen.diagnosis.is_final or seen.diagnosis.is_settled:
            return seen
        if held is None:
            held = self._held[key] = _Held(seen, now + _most_seconds(seen))
        held.sighting = seen
        return seen if now >= held.decide_at else None

    def keep(self, seen: Sighting, *, now: float) -> None:
        """Hold a pod that is being deleted, for at most :data:`REMOVAL_SECONDS`: its verdict comes when it is gone."""
        self._held[seen.identity.path] = _Held(seen, now + REMOVAL_SECONDS)

    def due(self, *, now: float) -> list[Sighting]:
        """Return the pods whose time is up; their node may never say more."""
        return [held.sighting for held in self._held.values() if now >= held.decide_at]

    def forget(self, seen: Iterable[Sighting]) -> None:
        """The verdicts about these pods are recorded."""
        for sighting in seen:
            held = self._held.get(sighting.identity.path)
            if held is not None and not _is_another(held.sighting, sighting):
                del self._held[sighting.identity.path]

    def __len__(self) -> int:
        return len(self._held)


def _first_cause(first: Diagnosis, now: Diagnosis) -> Diagnosis:
    has_started_since = now.task_may_have_started and not first.task_may_have_started
    if now.category in _DELETIONS and first.category not in _DELETIONS and not has_started_since:
        return replace(first, is_settled=now.is_settled)
    return now


def _is_another(first: Sighting, second: Sighting) -> bool:
    """Return whether these are two pods of the same name; a pod that was looked for in vain has no uid."""
    return bool(first.identity.uid and second.identity.uid and first.identity.uid != second.identity.uid)


def _most_seconds(seen: Sighting) -> float:
    if seen.diagnosis.phase == "succeeded":
        return SUCCESS_SECONDS
    may_be_ending = seen.diagnosis.signal is not None and seen.diagnosis.category is not Category.OOM_KILLED
    return SETTLE_SECONDS + (seen.grace_seconds if may_be_ending and seen.runs_on else 0.0)


class PullPatience:
    """Remembers since when pods wait for their image. Times are seconds on a monotonic clock; not thread-safe.

    The kubelet tries again by itself, with pauses from 10 seconds to 5 minutes, so nothing is done but to wait.

    :param seconds: the patience with one pod.
    :param fatal_reasons: the waiting reasons that fail a pod; others are waited for anyway.
    """

    def __init__(self, seconds: float, *, fatal_reasons: Collection[str]) -> None:
        self._seconds = seconds
        self._fatal_reasons = fatal_reasons
        self._waiting: dict[str, tuple[float, Sighting]] = {}

    def judge(self, seen: Sighting, *, now: float) -> Sighting:
        """Return a sighting as it is, or as failed where its image was waited for long enough."""
        uid, diagnosis = seen.identity.uid, seen.diagnosis
        if seen.is_gone or diagnosis.phase != "pending" or diagnosis.category is not Category.IMAGE_PULL:
            self._waiting.pop(uid, None)
            return seen
        since, last = self._waiting.get(uid, (now, seen))
        if diagnosis.reason in self._fatal_reasons and may_pass(diagnosis.message):
            self._waiting[uid] = since, seen
            if now - since >= self._seconds and not is_throttled_by_node(diagnosis.message):
                return replace(seen, diagnosis=replace(diagnosis, phase="failed"))
        elif uid in self._waiting:
            # Between two tries the reason is ImagePullBackOff; what is told in the end is the error.
            self._waiting[uid] = since, last
        return seen

    def overdue(self, *, now: float) -> list[Sighting]:
        """Return the pods whose image was waited for long enough, as failed, until they are :meth:`settled`."""
        return [
            replace(seen, diagnosis=replace(seen.diagnosis, phase="failed"))
            for since, seen in self._waiting.values()
            if now - since >= self._seconds and not is_throttled_by_node(seen.diagnosis.message)
        ]

    def settled(self, sightings: Collection[Sighting]) -> None:
        """What became of these is recorded."""
        for seen in sightings:
            self._waiting.pop(seen.identity.uid, None)

    def forget_all(self) -> None:
        """Begin anew."""
        self._waiting.clear()
