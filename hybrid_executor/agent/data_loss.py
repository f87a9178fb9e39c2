"""Whether Redis lost data lately: then pods may exist that no record knows, and everybody looks twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hybrid_executor.store import EventStream

log = logging.getLogger(__name__)

_SUSPICIOUS_SECONDS = 600.0


class DataLoss:
    """Compares Redis' epoch with the one that was known, and remembers suspicions for a while."""

    def __init__(self, events: EventStream, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._epoch = ""
        self._suspected_until = 0.0

    @property
    def is_suspected(self) -> bool:
        """Whether records may be missing or written anew."""
        return self._clock() < self._suspected_until

    def suspect(self) -> None:
        """Something showed that records are missing."""
        self._suspected_until = self._clock() + _SUSPICIOUS_SECONDS

    def check(self) -> bool:
        """Ask Redis; return whether it lost data since the last time, or may have. Makes an epoch where there is none.

        :raises StoreUnavailable: Redis could not be asked.
        """
        epoch = self._events.present().name
        was_lost = bool(self._epoch) and epoch != self._epoch
        self._epoch = epoch
        if was_lost:
            self.suspect()
            log.warning("Redis lost data, or may have lost its last changes: listing all pods again")
        return was_lost
