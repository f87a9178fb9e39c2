"""Which Redis this is: ids that are stored in it and written on its pods.

Made at random, since an address proves nothing: two deployments may both call theirs ``redis:6379``, and one deployment
may know its own by two names. Agents remember the ids and write them again after a loss of data.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

import redis

from hybrid_executor.store.keys import Keys
from hybrid_executor.store.translation import translated

_KEPT_SECONDS = 30 * 86400


class RedisIdentity:
    """The ids of one instance's Redis: one, plus one for each loss of data after which no agent remembered the ids."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.identities

    @translated
    def share(self, remembered: Collection[str]) -> frozenset[str]:
        """Write the remembered ids and return all ids; where there is none, create one.

        The ids expire 30 days after the last call.
        """
        return self._add(remembered) or self._add([uuid.uuid4().hex])

    @translated
    def read(self) -> frozenset[str]:
        """Return all ids; writes nothing."""
        return frozenset(str(text) for text in self._client.smembers(self._key))

    def _add(self, ids: Collection[str]) -> frozenset[str]:
        pipeline = self._client.pipeline(transaction=True)
        if ids:
            pipeline.sadd(self._key, *sorted(ids))
        pipeline.expire(self._key, _KEPT_SECONDS)
        pipeline.smembers(self._key)
        return frozenset(str(text) for text in pipeline.execute()[-1])
