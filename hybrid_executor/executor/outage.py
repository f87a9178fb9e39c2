"""How the executor bears a Redis that is away: it waits longer and longer between questions, and says so once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hybrid_executor.backoff import Backoff
from hybrid_executor.complaints import REDIS, Complaints
from hybrid_executor.errors import ConfigError, StoreRefused, StoreUnavailable

_BACKOFF = Backoff(first_seconds=0.5, most_seconds=10)


class Outage:
    """Whether Redis may be asked now.

    :ivar prove: asks Redis for a write; raises where it refuses.
    :ivar trouble: why Redis cannot be used, in words; "" where it can.
    """

    def __init__(self, prove: Callable[[], None] = lambda: None) -> None:
        self.prove = prove
        self.trouble = ""
        self._complaints = Complaints()
        self._failures = 0
        self._closed_until = 0.0
        self._whole_since = float("-inf")

    @property
    def is_on(self) -> bool:
        """The last question was not answered."""
        return self._failures > 0

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
            if self.is_on:
                # What was asked may have needed no write, and a Redis that answers may still refuse writes.
                self.prove()
        except (StoreUnavailable, ConfigError) as error:
            code = error.code if isinstance(error, StoreRefused) else ""
            self._complaints.report(
                REDIS,
                "%s; work stays queued and nothing fails until it is back: %s",
                "Redis cannot be used" if code else "Redis is away",
                error,
                cause=code,
                level=logging.ERROR,
            )
            self.trouble = str(error)
            self._failures += 1
            self._closed_until = time.monotonic() + _BACKOFF.seconds(self._failures)
            raise
        if self.is_on:
            self._complaints.settle(REDIS, "Redis is back", level=logging.WARNING)
            self.trouble = ""
            self._whole_since = time.monotonic()
        self._failures, self._closed_until = 0, 0.0
