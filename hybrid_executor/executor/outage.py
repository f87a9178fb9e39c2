"""An unavailable Redis: the executor waits longer and longer before it asks again, and logs the outage once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hybrid_executor.backoff import Backoff
from hybrid_executor.complaints import REDIS, REDIS_BACK, Complaints
from hybrid_executor.errors import ConfigError, StoreRefused, StoreUnavailable
from hybrid_executor.executor.clock import Clock

_BACKOFF = Backoff(first_seconds=0.5, most_seconds=10)


class Outage:
    """Whether Redis may be asked now.

    :param check_writes: raises where Redis refuses writes.
    :param on_trouble: is told the error code each time that Redis cannot be used; "" where it gave no answer.
    :ivar trouble: why Redis cannot be used, in words; "" where it can.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        check_writes: Callable[[], None] = lambda: None,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.trouble = ""
        self._clock = clock
        self._check_writes = check_writes
        self._on_trouble = on_trouble
        self._complaints = Complaints(clock=clock)
        self._failures = 0
        self._closed_until = 0.0
        self._whole_since = float("-inf")

    @property
    def is_on(self) -> bool:
        """The last question was not answered."""
        return self._failures > 0

    def may_ask(self) -> bool:
        """Return whether enough time has passed since the last unanswered question."""
        return not self.is_on or self._clock() >= self._closed_until

    def note_loss(self) -> None:
        """Note that Redis has lost what workers and agents had told it."""
        self._whole_since = self._clock()

    def can_tell_silence(self, seconds: float) -> bool:
        """Return whether Redis was there for ``seconds``, so that a worker which is silent for that long is lost."""
        return not self.is_on and self._clock() - self._whole_since >= seconds

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note whether the questions in this block are answered; lets StoreUnavailable and ConfigError pass."""
        try:
            yield
            if self.is_on:
                # What was asked may have needed no write, and a Redis that answers may still refuse writes.
                self._check_writes()
        except (StoreUnavailable, ConfigError) as error:
            code = error.code if isinstance(error, StoreRefused) else ""
            self._complaints.report(
                REDIS,
                "%s; work stays queued and nothing fails until it is available: %s",
                "Redis cannot be used" if code else "Redis unavailable",
                error,
                cause=code,
                level=logging.ERROR,
            )
            self.trouble = str(error)
            self._on_trouble(code)
            self._failures += 1
            self._closed_until = self._clock() + _BACKOFF.seconds(self._failures)
            raise
        if self.is_on:
            self._complaints.settle(REDIS, REDIS_BACK, level=logging.WARNING)
            self.trouble = ""
            self._whole_since = self._clock()
        self._failures, self._closed_until = 0, 0.0
