"""The steps of one loop: one that fails keeps none of the others from being done."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.executor.clock import Clock

_PAUSE_SECONDS = 5.0


class Steps:
    """Runs named steps. A step that fails unexpectedly is tried again every 5 s, and its error is logged once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._complaints = Complaints(clock=clock)
        self._not_before: dict[str, float] = {}

    def do(self, name: str, step: Callable[[], object]) -> bool:
        """Run a step unless it failed a moment ago; return whether it was done.

        :param name: what it does, for the log.
        :raises StoreUnavailable, ConfigError: Redis could not be asked, so that no other step can either.
        """
        if self._clock() < self._not_before.get(name, 0.0):
            return False
        try:
            step()
        except (StoreUnavailable, ConfigError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one step, the others go on
            words = "Could not %s; trying again every %.0f s"
            self._complaints.unexpected(name, words, name, _PAUSE_SECONDS, error=error)
            self._not_before[name] = self._clock() + _PAUSE_SECONDS
            return False
        self._complaints.settle(name, "The scheduler can %s again", name, level=logging.WARNING)
        self._not_before.pop(name, None)
        return True
