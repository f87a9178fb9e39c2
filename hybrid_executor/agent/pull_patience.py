"""How long pods may wait for a registry that is busy or out of reach, before they count as failed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hybrid_executor.agent.sighting import Sighting
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import is_throttled_by_node
from hybrid_executor.kube.registry import may_pass


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
