"""Verdicts that wait: for the node's final word about a pod, and for a registry that is busy. No effects.

A kubelet reports a pod's phase, reason and message only after all of its containers have ended. When the task's
container has ended, the verdict waits for them, for a bounded time:

* a failure for :data:`SETTLE_SECONDS`. If a signal ended the container while others run, the pod's grace period is
  added: it may be an eviction, which the kubelet reports only when the last container has ended;
* a success for :data:`SUCCESS_SECONDS`.

A pod that is deleted because it cannot start is held until it is gone, so that its reason is why it could not start.

Times are measured on this process's clock from when the end was first seen, so another watcher starts again.
Promises: the first cause counts. A deletion that is asked for after the task's end does not change why it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import Diagnosis, is_throttled_by_node
from hybrid_executor.kube.registry import may_pass

SETTLE_SECONDS = 10.0
"""Kubelets took 1.3 s between the two reports in our recordings; a busy node takes several times as long."""

SUCCESS_SECONDS = 3.0
"""Shorter: most kubelets show a success in their first report, so this is for pods with a running sidecar only."""

REMOVAL_SECONDS = 600.0
"""After that, its deletion is requested again."""

_DELETIONS = frozenset({Category.DELETED, Category.DELETED_BEFORE_START, Category.VANISHED})


@dataclass(slots=True)
class _Held:
    sighting: Sighting
    decide_at: float


class Endings:
    """The pods whose verdict waits. Each is held until :meth:`forget`, so that none is lost without Redis."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def take(self, seen: Sighting, *, now: float) -> Sighting | None:
        """Return the sighting to record now, None while the verdict waits.

        :param now: monotonic seconds.
        """
        key = seen.identity.path
        held = self._held.get(key)
        if held is not None and is_another(held.sighting, seen):
            held = None
        if held is not None and seen.diagnosis.is_final:
            seen = replace(seen, diagnosis=_first_cause(held.sighting.diagnosis, seen.diagnosis))
        if not seen.diagnosis.is_final or seen.diagnosis.is_settled:
            return seen
        if held is None:
            held = self._held[key] = _Held(seen, now + _most_seconds(seen))
        held.sighting = seen
        return seen if now >= held.decide_at else None

    def holds(self, seen: Sighting) -> bool:
        """Return whether the verdict about this pod waits."""
        held = self._held.get(seen.identity.path)
        return held is not None and not is_another(held.sighting, seen)

    def keep(self, seen: Sighting, *, now: float) -> None:
        """Hold a pod that is being deleted, for at most :data:`REMOVAL_SECONDS`: its verdict comes when it is gone."""
        self._held[seen.identity.path] = _Held(seen, now + REMOVAL_SECONDS)

    def due(self, *, now: float) -> list[Sighting]:
        """Return the pods whose time is over; their node may never report more."""
        return [held.sighting for held in self._held.values() if now >= held.decide_at]

    def forget(self, seen: Iterable[Sighting]) -> None:
        """Stop holding these pods: their verdicts are recorded."""
        for sighting in seen:
            held = self._held.get(sighting.identity.path)
            if held is not None and not is_another(held.sighting, sighting):
                del self._held[sighting.identity.path]

    def __len__(self) -> int:
        return len(self._held)


def _first_cause(first: Diagnosis, now: Diagnosis) -> Diagnosis:
    has_started_since = now.task_may_have_started and not first.task_may_have_started
    if now.category in _DELETIONS and first.category not in _DELETIONS and not has_started_since:
        return replace(first, is_settled=now.is_settled)
    return now


def is_another(first: Sighting, second: Sighting) -> bool:
    """Return whether these are two pods of the same name; a pod that was not found has no uid."""
    return bool(first.identity.uid and second.identity.uid and first.identity.uid != second.identity.uid)


def _most_seconds(seen: Sighting) -> float:
    if seen.diagnosis.phase == "succeeded":
        return SUCCESS_SECONDS
    may_be_ending = seen.diagnosis.signal is not None and seen.diagnosis.category is not Category.OOM_KILLED
    return SETTLE_SECONDS + (seen.grace_seconds if may_be_ending and seen.runs_on else 0.0)


class PullPatience:
    """Remembers since when pods wait for their image. Times are monotonic seconds. Not safe for several threads.

    The kubelet tries again by itself, with pauses from 10 seconds to 5 minutes; there is nothing to do but wait.

    :param seconds: how long one pod may wait.
    :param fatal_reasons: the waiting reasons that fail a pod.
    """

    def __init__(self, seconds: float, *, fatal_reasons: Collection[str]) -> None:
        self._seconds = seconds
        self._fatal_reasons = fatal_reasons
        self._waiting: dict[str, tuple[float, Sighting]] = {}

    def judge(self, seen: Sighting, *, now: float) -> Sighting:
        """Return a sighting unchanged, or as failed if it has waited too long for its image."""
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
            # Between two tries the reason is ImagePullBackOff; the reason in the end is the error.
            self._waiting[uid] = since, last
        return seen

    def overdue(self, *, now: float) -> list[Sighting]:
        """Return the pods that have waited too long for their image, as failed, until they are :meth:`settled`."""
        return [
            replace(seen, diagnosis=replace(seen.diagnosis, phase="failed"))
            for since, seen in self._waiting.values()
            if now - since >= self._seconds and not is_throttled_by_node(seen.diagnosis.message)
        ]

    def settled(self, sightings: Collection[Sighting]) -> None:
        """Forget these pods: they are recorded."""
        for seen in sightings:
            self._waiting.pop(seen.identity.uid, None)

    def forget_all(self) -> None:
        """Forget all pods."""
        self._waiting.clear()
