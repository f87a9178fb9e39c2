"""The lists that hold the Celery broker's messages, where the broker is the Redis of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import redis

from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.keys import Key, Keys
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import checked_answers, is_wrong_type

T = TypeVar("T")


class BrokerLists:
    """Access to the broker's lists. A key that holds a value of another type counts as an empty list."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def remove_message(self, queue_key: str, message: str) -> bool:
        """Take a message off a list; return whether it was there. Takes time in proportion to the list."""
        return _of_list(lambda: bool(self._client.lrem(queue_key, 1, message)), otherwise=False)

    @translated
    def drop_left(self, queue_key: str, *, pool: str, skip: int = 0, count: int = 200) -> tuple[int, int]:
        """Take messages off a list for which no worker could start anything, since their attempts have gone on.

        :param pool: whose messages they are.
        :param skip: how many messages, from the next one, are not looked at. :param count: how many are looked at.
        :return: how many were taken off, and the ``skip`` of the next call, -1 after the last message.
        """
        call = calls.DropLeft(
            queue_key=Key(queue_key),
            prefix=self._keys.prefix,
            pool=pool,
            skip=skip,
            size=count,
            terminal=TERMINAL_STATES,
        )
        dropped, following = run_script(self._client, call)
        return int(dropped), int(following)

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
