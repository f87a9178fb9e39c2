"""Time as one executor sees it: a monotonic clock that can be replaced, and timers that go by it."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Returns monotonic seconds, as :func:`time.monotonic` does."""

Sleep = Callable[[float], None]
"""Waits for so many seconds, as :func:`time.sleep` does."""


class Timer:
    """Says when something that is done at an interval is due. It is due at once.

    :param seconds: the interval.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._due_at = float("-inf")

    def is_due(self) -> bool:
        """Return whether the interval is over."""
        return self._clock() >= self._due_at

    def restart(self) -> None:
        """Begin a new interval."""
        self._due_at = self._clock() + self._seconds
