"""Pods whose attempt has no record now: what was seen of them last is kept until the record is there again.

Redis can lose a record while its pod starts, runs or ends. The attempt's owner writes it again some seconds later. By
then the pod may have ended, or be gone, and no event follows: without what is kept here, its end would be forgotten.

Times are monotonic seconds. Not safe for several threads. No effects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.agent.watch.patience import is_another

KEPT_SECONDS = 120.0
"""Owners notice a loss within a few seconds. Who has not written a record again after this time has not missed it."""

_ASK_SECONDS = 2.0


@dataclass(slots=True)
class _Kept:
    sighting: Sighting
    lines: str
    until: float
    ask_at: float = 0.0


class Unrecorded:
    """The last sighting of each pod without a record."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def keep(self, seen: Sighting, *, now: float, lines: str = "") -> bool:
        """Keep a sighting that no record has taken; return whether it is kept, False where its time is over.

        The first cause counts: that a pod is deleted after its end does not change why it ended.

        :param lines: the last lines of its log.
        """
        kept = self._kept.get(seen.identity.path)
        if kept is None or is_another(kept.sighting, seen):
            kept = self._kept[seen.identity.path] = _Kept(seen, lines, now + KEPT_SECONDS)
        elif kept.sighting.diagnosis.is_final and seen.diagnosis.is_final:
            seen = replace(seen, diagnosis=kept.sighting.diagnosis)
        kept.sighting, kept.lines, kept.ask_at = seen, lines or kept.lines, now + _ASK_SECONDS
        if now < kept.until:
            return True
        del self._kept[seen.identity.path]
        return False

    def holds(self, seen: Sighting) -> bool:
        """Return whether a sighting of this pod is kept."""
        kept = self._kept.get(seen.identity.path)
        return kept is not None and not is_another(kept.sighting, seen)

    def due(self, *, now: float) -> list[tuple[Sighting, str]]:
        """Return the sightings to record now, if their records are there again, with the last lines of their logs."""
        return [(kept.sighting, kept.lines) for kept in self._kept.values() if now >= kept.ask_at]

    def forget(self, seen: Iterable[Sighting]) -> None:
        """Stop keeping these pods: their attempts have records."""
        for sighting in seen:
            self._kept.pop(sighting.identity.path, None)

    def __len__(self) -> int:
        return len(self._kept)
