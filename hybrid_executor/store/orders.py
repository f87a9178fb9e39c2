"""Orders: what people tell one worker to do. Given to one life of it: who comes after under its name gets none."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

import redis

from hybrid_executor.store.keys import Keys
from hybrid_executor.store.translation import translated

Verb = Literal["drain", "resume", "stop", "add-queue", "remove-queue"]
_KEPT_SECONDS = 300


@dataclass(frozen=True)
class Order:
    """One order.

    :ivar queue: the queue that ``add-queue`` and ``remove-queue`` are about.
    """

    verb: Verb
    queue: str = ""


class Orders:
    """Orders of one instance's workers, forgotten after five minutes where nobody takes them."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def give(self, life: str, order: Order) -> None:
        """Add an order for the worker whose announcement names ``life``."""
        key = self._keys.orders(life)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.rpush(key, json.dumps(asdict(order)))
        pipeline.expire(key, _KEPT_SECONDS)
        pipeline.execute()

    @translated
    def take(self, life: str) -> list[Order]:
        """Return the orders given since the last call, oldest first; nobody gets them again."""
        key = self._keys.orders(life)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.lrange(key, 0, -1)
        pipeline.delete(key)
        return [Order(**json.loads(text)) for text in pipeline.execute()[0]]
