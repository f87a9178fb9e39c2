"""Hints for schedulers that wait: Airflow knows the end of a task whose process has not ended yet.

What follows the task can be looked for already. Nothing depends on a hint: the event of the end comes soon after it.
"""

from __future__ import annotations

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.translation import translated

_KEPT_ENTRIES = 100
_KEPT_SECONDS = 60


class Hints:
    """A short stream that nobody reads but those who wait at that moment; they read it with the events."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def give(self, attempt: AttemptId) -> None:
        """Let the owner of an attempt look for what follows it, if it waits; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xadd(self._keys.hints, {"attempt": attempt}, maxlen=_KEPT_ENTRIES)
        pipeline.expire(self._keys.hints, _KEPT_SECONDS)
        pipeline.execute()
