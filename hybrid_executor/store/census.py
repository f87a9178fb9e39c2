"""Live attempts in small pages, with only what is needed to count them: cheap enough for a scheduler's loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis

from hybrid_executor.states import State
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import is_wrong_type

_FIELDS = ("state", "queue", "cluster", "submitted_at")
PAGE = 500


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that has not ended.

    :ivar submitted_at: milliseconds on the Redis server's clock, 0 where it is not known.
    """

    id: str
    pool: str
    queue: str
    cluster: str
    state: State
    submitted_at: int


class Census:
    """Reads the live attempts of one instance page by page."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def page(self, pool: str, *, cursor: int = 0, count: int = PAGE) -> tuple[int, list[LiveAttempt]]:
        """Return some attempts of a pool, and the cursor of the next page; 0 after the last.

        An attempt that is live all the time is on at least one page. It may be on two. Two round trips.
        """
        try:
            answer = self._client.sscan(self._keys.live(pool), cursor=cursor, count=count)
        except redis.ResponseError as error:
            if is_wrong_type(error):
                return 0, []
            raise
        following, members = cast("tuple[int, list[str]]", answer)
        pipeline = self._client.pipeline(transaction=False)
        for attempt in members:
            pipeline.hmget(self._keys.attempt(attempt), _FIELDS)
        answers = pipeline.execute(raise_on_error=False) if members else []
        found = (_live(attempt, pool, values) for attempt, values in zip(members, answers, strict=True))
        return int(following), [attempt for attempt in found if attempt is not None]


def _live(attempt: str, pool: str, values: object) -> LiveAttempt | None:
    """Return an attempt, ``None`` for one that has ended or whose record cannot be read.

    :raises redis.RedisError: Redis refused to answer.
    """
    if isinstance(values, Exception):
        if is_wrong_type(values):
            return None
        raise values
    state, queue, cluster, submitted_at = cast("list[str | None]", values)
    try:
        known = State(state or "")
        if known.is_terminal or known is State.UNKNOWN:
            return None
        return LiveAttempt(attempt, pool, queue or "", cluster or "", known, int(submitted_at or 0))
    except ValueError:
        return None
