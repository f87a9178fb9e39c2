"""Orders of people to one process: a worker, an agent or a scheduler.

A worker or agent that is started later under the same name does not get them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal, cast
from uuid import uuid4

import redis

from hybrid_executor.store.keys import Keys
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import is_wrong_type

log = logging.getLogger(__name__)

Verb = Literal["drain", "resume", "stop", "add-queue", "remove-queue", "repair", "none"]
_KEPT_SECONDS = 300


@dataclass(frozen=True)
class Order:
    """One order.

    :ivar verb: ``repair`` means to do now what is else done on a timer.
    :ivar queue: the queue that ``add-queue`` and ``remove-queue`` are about.
    :ivar id: distinguishes an order that is read twice from one that is given twice.
    """

    verb: Verb
    queue: str = ""
    id: str = field(default_factory=lambda: uuid4().hex, compare=False)


class Orders:
    """Orders to one instance's processes. An order expires after five minutes."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def give(self, life: str, order: Order) -> None:
        """Add an order.

        :param life: that of a worker's or agent's announcement, or the id of a scheduler as an owner of attempts.
        """
        key = self._keys.orders(life)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.rpush(key, json.dumps(asdict(order)))
        pipeline.expire(key, _KEPT_SECONDS)
        pipeline.execute()

    @translated
    def take(self, life: str, *, obey: Callable[[list[Order]], None] = lambda _: None) -> list[Order]:
        """Return the orders given since the last call, oldest first, and delete them.

        They are deleted after ``obey`` has returned. Where Redis fails in between, the next call returns them again,
        with the same ids.
        """
        orders = self._read(life)
        if orders:
            obey(orders)
            self._client.ltrim(self._keys.orders(life), len(orders), -1)
        return orders

    def _read(self, life: str) -> list[Order]:
        key = self._keys.orders(life)
        try:
            texts = cast("list[str]", self._client.lrange(key, 0, -1))
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._client.delete(key)
            return []
        return [_decode(text) for text in texts]


def _decode(text: str) -> Order:
    """Return an order. One that cannot be read, perhaps of a newer release, has the verb "none"."""
    try:
        known = json.loads(text)
        return Order(known["verb"], str(known.get("queue", "")), str(known.get("id", text)))
    except (ValueError, TypeError, LookupError, AttributeError):
        log.warning("Ignored an order that cannot be read")
        return Order("none", id=text)
