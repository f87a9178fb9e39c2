"""The lists that hold the Celery broker's messages, where the broker is the Redis of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import redis

from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import checked_answers, is_wrong_type

T = TypeVar("T")


class BrokerLists:
    """Access to the broker's lists. A key that holds a value of another type counts as an empty list."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @translated
    def remove_message(self, queue_key: str, message: str) -> bool:
        """Take a message off a list; return whether it was there. Takes time in proportion to the list."""
        return _of_list(lambda: bool(self._client.lrem(queue_key, 1, message)), otherwise=False)

    @translated
    def next_message(self, queue_key: str) -> str:
        """Return the message that a list hands out next, "" for none. It holds a token."""
        return _of_list(lambda: str(self._client.lindex(queue_key, -1) or ""), otherwise="")

    @translated
    def any_waiting(self, queue_keys: Iterable[str]) -> bool:
        """Return whether any of these lists holds a message; one round trip."""
        return bool(self._client.exists(*keys)) if (keys := list(queue_keys)) else False

    @translated
    def lengths(self, queue_keys: Iterable[str]) -> dict[str, int]:
        """Return how many messages each list holds; one round trip."""
        keys = list(queue_keys)
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.llen(key)
        answers = checked_answers(pipeline.execute(raise_on_error=False)) if keys else []
        return {key: answer if isinstance(answer, int) else 0 for key, answer in zip(keys, answers, strict=True)}


def _of_list(ask: Callable[[], T], *, otherwise: T) -> T:
    try:
        return ask()
    except redis.ResponseError as error:
        if is_wrong_type(error):
            return otherwise
        raise
