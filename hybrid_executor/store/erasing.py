"""Deleting records before they expire, for people."""

from __future__ import annotations

from enum import IntEnum

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated


class Erasure(IntEnum):
    """What became of a record that was to be deleted."""

    DELETED = 1
    LIVE = 0
    MISSING = -1
    CHANGED = -2


class Erasing:
    """Deletes records of one instance."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def erase(self, attempt: AttemptId, *, generation: int, is_forced: bool = False) -> Erasure:
        """Delete a record with its workload and its places in the sets, if it still has this generation.

        One whose key holds a value of another type is deleted too.

        :param is_forced: delete it even if it has not ended. Its owner may write it again.
        """
        call = calls.Erase(
            attempt_key=self._keys.attempt(attempt),
            payload_key=self._keys.payload(attempt),
            overrides_key=self._keys.overrides(attempt),
            prefix=self._keys.prefix,
            id=attempt,
            generation=generation,
            is_forced=is_forced,
            terminal=TERMINAL_STATES,
        )
        return Erasure(int(run_script(self._client, call)))
