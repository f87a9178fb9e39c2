"""Entries of a launch stream that this agent works on: each once, and kept from being taken over meanwhile."""

from __future__ import annotations

import threading

from hybrid_executor.events import StreamId
from hybrid_executor.store import LaunchEntry


class HeldEntries:
    """The entries that were taken and have no outcome yet. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[StreamId] = set()

    def add(self, entry: LaunchEntry) -> bool:
        """Hold an entry; return False where it is held already (it was delivered twice)."""
        with self._lock:
            if entry.id in self._held:
                return False
            self._held.add(entry.id)
            return True

    def drop(self, entry: LaunchEntry) -> None:
        """Let go of an entry: it has its outcome."""
        with self._lock:
            self._held.discard(entry.id)

    def ids(self) -> list[StreamId]:
        """Return all entries that are held."""
        with self._lock:
            return list(self._held)

    def __len__(self) -> int:
        return len(self._held)
