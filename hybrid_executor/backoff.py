"""How long to wait before the next try: one rule for everything that retries. Pure: failures and jitter are arguments.

Clients with a retry of their own (redis-py, urllib3, tenacity) keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays that double from the first to the longest."""

    first_seconds: float
    most_seconds: float

    def seconds(self, failures: int, *, jitter: float = 1.0, retry_after: float = 0.0) -> float:
        """Return the delay after ``failures`` failures in a row (from 1).

        :param jitter: random, from 0 to 1; spreads callers over the upper half of the delay. 1 is the whole delay.
        :param retry_after: seconds that the server asked to wait, 0 where it did not. The delay is never shorter.
        """
        delay = min(self.most_seconds, self.first_seconds * 2.0 ** min(max(failures, 1) - 1, 20))
        asked_for = retry_after + jitter if retry_after > 0 else 0.0
        return max(asked_for, delay * (0.5 + jitter / 2))


RECONNECT = Backoff(first_seconds=0.2, most_seconds=30)
"""After a cut stream or a server that does not answer."""

DENIED = Backoff(first_seconds=30, most_seconds=300)
"""After a missing right: only a person can grant it."""

RESTART = Backoff(first_seconds=1, most_seconds=30)
"""After an unexpected error ended a thread of the agent."""

CREATE = Backoff(first_seconds=1, most_seconds=60)
"""After the API server refused to create a pod for now."""
