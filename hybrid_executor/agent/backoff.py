"""How long to wait before trying again, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Doubling delays between two limits."""

    first_seconds: float
    most_seconds: float

    def seconds(self, failures: int, *, jitter: float) -> float:
        """Return the delay after ``failures`` failures in a row (from 1).

        :param jitter: random, from 0 to 1; spreads callers over the upper half of the delay.
        """
        delay = min(self.most_seconds, self.first_seconds * 2.0 ** min(max(failures, 1) - 1, 20))
        return delay * (0.5 + jitter / 2)


RECONNECT = Backoff(first_seconds=0.2, most_seconds=30)
"""After a cut stream or a server that does not answer."""

DENIED = Backoff(first_seconds=30, most_seconds=300)
"""After a missing right: only a person helps."""

RESTART = Backoff(first_seconds=1, most_seconds=30)
"""After a thread of the agent died of something that nobody thought of."""
