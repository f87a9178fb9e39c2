"""The entries of one cluster's launch stream that this agent works on, from their delivery to their outcome.

Promises: an entry is worked on once at a time, however often it is delivered. Entries that are held are renewed, so
that no other agent takes them over. Entries of dead agents are taken over.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import StreamId
from hybrid_executor.store import LaunchEntry, LaunchStream

log = logging.getLogger(__name__)

Accept = Callable[[LaunchEntry], None]
"""Begins to work on an entry."""


class LaunchIntake:
    """Takes entries and holds them until :meth:`drop` or :meth:`acknowledge`, which are safe for several threads.

    :param take_over_seconds: entries that their agent has not renewed for so long are taken over.
    """

    def __init__(self, stream: LaunchStream, *, cluster: str, take_over_seconds: float, accept: Accept) -> None:
        self._stream = stream
        self._cluster = cluster
        self._take_over_seconds = take_over_seconds
        self._accept = accept
        self._lock = threading.Lock()
        self._held: set[StreamId] = set()
        self._next_take_over = self._next_renewal = self._held_since = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_since(self) -> float:
        """Since when no other agent can have taken over what is held (monotonic seconds): infinity if one can have."""
        return math.inf if self._is_late(time.monotonic()) else self._held_since

    def _is_late(self, now: float) -> bool:
        """Return whether what is held was not renewed in time: this process was paused, or Redis unavailable."""
        return now >= self._next_renewal + self._take_over_seconds * 2 / 3

    def renew_due(self, *, now: float) -> None:
        """Renew what is held, where it is time to (monotonic seconds).

        :raises StoreUnavailable: Redis unavailable.
        """
        if now >= self._next_renewal:
            with self._lock:
                held = list(self._held)
            self._stream.renew(held)
            if self._is_late(now):
                self._held_since = now
            self._next_renewal = now + self._take_over_seconds / 3

    def take(self, *, count: int, wait_milliseconds: int) -> None:
        """Accept new entries, waiting for the first.

        :raises StoreUnavailable: Redis unavailable.
        """
        for entry in self._stream.take(count=count, wait_milliseconds=wait_milliseconds):
            self._hold(entry)

    def take_over_due(self, *, now: float, room: Callable[[], int]) -> None:
        """Accept entries of dead agents, where it is time to look for them and as long as there is room.

        :param room: returns how many more entries may be taken.
        :raises StoreUnavailable: Redis unavailable.
        """
        if now >= self._next_take_over and self._take_over(room):
            self._next_take_over = now + self._take_over_seconds / 5

    def look_soon(self) -> None:
        """Look for entries of dead agents at the next call."""
        self._next_take_over = 0.0

    def give_back(self, entries: Iterable[LaunchEntry]) -> None:
        """Let other agents take over these entries at once.

        :raises StoreUnavailable: Redis unavailable; they are not held any more, so others take them over later.
        """
        given = list(entries)
        log.info("Giving %s launches of cluster %s back to other agents", len(given), self._cluster)
        for entry in given:
            self.drop(entry)
        self._stream.give_back([entry.id for entry in given])

    def drop(self, entry: LaunchEntry) -> None:
        """Stop holding an entry: it has its outcome."""
        with self._lock:
            self._held.discard(entry.id)

    def acknowledge(self, entry: LaunchEntry) -> None:
        """Take an entry off the stream: nothing is left to do, and no record changes."""
        try:
            self._stream.acknowledge(entry.id)
        except StoreUnavailable as error:
            # It will be delivered again, and then there is nothing left to do.
            log.warning("An entry of the launch stream could not be acknowledged yet: %s", error)
        self.drop(entry)

    def leave(self) -> None:
        """Leave the stream's group: other agents take over what is still held."""
        try:
            self._stream.leave()
        except StoreUnavailable:
            log.warning("Redis unavailable: this agent stays a consumer of cluster %s for some time", self._cluster)

    def _take_over(self, room: Callable[[], int]) -> bool:
        """Take over entries of dead agents; return whether all were looked at."""
        idle_milliseconds = int(self._take_over_seconds * 1000)
        while (count := room()) > 0:
            for entry in self._stream.take_over(idle_milliseconds=idle_milliseconds, count=count):
                if self._hold(entry):
                    log.info("Took over the %s of attempt %s from another agent", entry.op, entry.attempt)
            if self._stream.take_over_is_complete:
                return True
        return False

    def _hold(self, entry: LaunchEntry) -> bool:
        """Accept an entry; return False if it is held already (it was delivered twice)."""
        with self._lock:
            if entry.id in self._held:
                return False
            self._held.add(entry.id)
        self._accept(entry)
        return True
