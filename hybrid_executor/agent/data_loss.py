"""Whether Redis lost data lately. Then pods may exist without a record, and everybody checks twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hybrid_executor.store import Epoch, EventStream

log = logging.getLogger(__name__)

_SUSPICIOUS_SECONDS = 600.0


class DataLoss:
    """Compares Redis' epoch with the last known one. A loss counts for ten minutes."""

    def __init__(self, events: EventStream, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._epoch = ""
        self._suspected_until = 0.0
        self._is_news = False

    @property
    def is_suspected(self) -> bool:
        """Whether records may be missing, or may have been written again."""
        return self._clock() < self._suspected_until

    def suspect(self) -> None:
        """Remember that records seem to be missing."""
        self._suspected_until = self._clock() + _SUSPICIOUS_SECONDS

    def check(self) -> bool:
        """Ask Redis whether it lost data, or may have, since the last call. Creates the epoch if there is none.

        :raises StoreUnavailable: Redis could not be asked.
        """
        self.present()
        was_lost, self._is_news = self._is_news, False
        return was_lost

    def present(self) -> Epoch:
        """Return the present epoch, and note a loss that it shows: who reads records afterwards knows of it.

        :raises StoreUnavailable: Redis could not be asked.
        """
        epoch = self._events.present()
        if self._epoch and epoch.name != self._epoch:
            self._is_news = True
            self.suspect()
            log.warning("Redis lost data, or may have lost its last changes: listing all pods again")
        self._epoch = epoch.name
        return epoch
