"""How the executor bears a Redis that is away: it waits longer and longer between questions, and says so once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_executor.errors import ConfigError, StoreUnavailable

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class Outage:
    """Whether Redis may be asked now."""

    def __init__(self) -> None:
        self._pause_seconds = 0.0
        self._closed_until = 0.0
        self._whole_since = float("-inf")

    @property
    def is_on(self) -> bool:
        """The last question was not answered."""
        return self._pause_seconds > 0

    def may_ask(self, now: float | None = None) -> bool:
        """Return whether enough time has passed since the last unanswered question."""
        return (time.monotonic() if now is None else now) >= self._closed_until

    def note_loss(self) -> None:
        """Note that Redis has lost what others had told it."""
        self._whole_since = time.monotonic()

    def can_tell_silence(self, seconds: float) -> bool:
        """Return whether somebody who has not been heard of for ``seconds`` could have been heard: Redis was there."""
        return not self.is_on and time.monotonic() - self._whole_since >= seconds

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note whether the questions in this block are answered; lets StoreUnavailable and ConfigError pass."""
        try:
            yield
        except (StoreUnavailable, ConfigError) as error:
            if not self.is_on:
                log.error("Redis is away; work stays queued and nothing fails until it is back: %s", error)
            self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
            self._closed_until = time.monotonic() + self._pause_seconds
            raise
        if self.is_on:
            log.warning("Redis is back")
            self._whole_since = time.monotonic()
        self._pause_seconds = self._closed_until = 0.0
