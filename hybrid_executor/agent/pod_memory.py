"""What a watcher remembers of pods, so that replays and duplicates cost nothing. Bounded by the pods there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hybrid_executor.agent.sighting import Sighting
from hybrid_executor.kube.diagnosis import Diagnosis


@dataclass(slots=True)
class SeenPod:
    """One pod.

    :ivar diagnosis: the last one that was recorded.
    :ivar waiting_since: when it was first seen, monotonic; :ivar asked_at: when its events were last read.
    """

    diagnosis: Diagnosis
    waiting_since: float
    asked_at: float = field(default=0.0)


class PodMemory:
    """Pods by uid. A hint only: forgetting any of it costs a write that the record refuses."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPod] = {}

    def find(self, uid: str) -> SeenPod | None:
        """Return what is known of a pod."""
        return self._seen.get(uid)

    def is_news(self, sighting: Sighting) -> bool:
        """Return whether the pod was not diagnosed so when it was recorded last."""
        seen = self._seen.get(sighting.identity.uid)
        return seen is None or seen.diagnosis != sighting.diagnosis

    def remember(self, sighting: Sighting, *, now: float) -> None:
        """Note that a sighting was recorded."""
        seen = self._seen.get(sighting.identity.uid)
        if seen is None:
            self._seen[sighting.identity.uid] = SeenPod(sighting.diagnosis, now)
        else:
            seen.diagnosis = sighting.diagnosis

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._seen.pop(uid, None)

    def keep_only(self, uids: Iterable[str]) -> None:
        """Forget all other pods: a list did not show them."""
        kept = set(uids)
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in kept}

    def __len__(self) -> int:
        return len(self._seen)
