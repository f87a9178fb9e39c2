"""The steps of one loop: one that fails keeps none of the others from being done."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.executor.clock import Clock

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0


class Steps:
    """Runs named steps. A step that fails unexpectedly is logged and not tried for 5 s."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
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
        except Exception:  # noqa: BLE001 - whatever is wrong with one step, the others go on
            log.exception("Could not %s; trying again in %.0f s", name, _PAUSE_SECONDS)
            self._not_before[name] = self._clock() + _PAUSE_SECONDS
            return False
        self._not_before.pop(name, None)
        return True
