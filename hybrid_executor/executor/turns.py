"""Takes some of many attempts each time, so that no step of a heartbeat becomes longer with their number. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.ledger import Tracked


class Turns:
    """Each attempt has its turn before one has its second.

    :param most: how many are taken at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._had: set[AttemptId] = set()

    def take(self, tracked: Iterable[Tracked]) -> list[Tracked]:
        """Return some of these attempts. Those that are not among them are forgotten."""
        present = list(tracked)
        waiting = [item for item in present if item.attempt not in self._had]
        if not waiting:
            self._had.clear()
            waiting = present
        chosen = waiting[: self._most]
        self._had &= {item.attempt for item in present}
        self._had |= {item.attempt for item in chosen}
        return chosen
