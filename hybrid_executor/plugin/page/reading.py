"""Questions to Redis and the database: in few threads, for a limited time, and only once for all who ask the same.

The API server answers other requests with the same event loop and the same thread pool. A Redis that does not answer
must delay neither. So questions have threads of their own, and whoever waits for an answer stops waiting in time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_THREADS = 4
_MOST_QUESTIONS = 64
_FRESH_SECONDS = 1.0
_OLDEST_SECONDS = 10.0
_SHARE_OF_TIME = 5
"""An answer that took long to find is used for that many times as long, so that pages cannot keep the server busy."""


class TooSlow(Exception):
    """There is no answer yet, or too many questions wait. The question is still being asked; ask again."""


@dataclass(kw_only=True)
class _Asked:
    future: Future[Any]
    asked_at: float
    ended_at: float | None = None

    def is_usable(self, now: float) -> bool:
        if self.ended_at is None:
            return True
        took = self.ended_at - self.asked_at
        return now - self.ended_at < min(max(_FRESH_SECONDS, _SHARE_OF_TIME * took), _OLDEST_SECONDS)


class Reading:
    """Asks questions for many browsers at the same time."""

    def __init__(self, *, threads: int = _THREADS, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hybrid-executor-page")
        self._acting = ThreadPoolExecutor(threads, thread_name_prefix="hybrid-executor-action")
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[Hashable, _Asked] = {}

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        self._pool.shutdown()
        self._acting.shutdown()

    def forget(self) -> None:
        """Ask everything anew: something has been changed."""
        with self._lock:
            self._asked.clear()

    async def ask(self, key: Hashable, question: Callable[[], T], *, patience_seconds: float) -> T:
        """Return the answer to a question, at most one second old.

        One that took long to find may be five times as old as it took, but at most ten seconds.

        :param key: the same for everybody who asks the same.
        :raises TooSlow: not answered in time.
        :raises Exception: whatever the question raised.
        """
        return await _result(self._current(key, question), patience_seconds)

    async def once(self, work: Callable[[], T], *, patience_seconds: float) -> T:
        """Do something that belongs to one request, such as an action, and return its result.

        :raises TooSlow: not done in time; it is still being done.
        :raises Exception: whatever the work raised.
        """
        return await _result(self._acting.submit(work), patience_seconds)

    def _current(self, key: Hashable, question: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            now = self._clock()
            self._asked = {name: asked for name, asked in self._asked.items() if asked.is_usable(now)}
            known = self._asked.get(key)
            if known is None:
                if len(self._asked) >= _MOST_QUESTIONS:
                    raise TooSlow
                known = self._asked[key] = _Asked(future=self._pool.submit(question), asked_at=now)
                known.future.add_done_callback(lambda _: setattr(known, "ended_at", self._clock()))
            return known.future


async def _result(future: Future[T], patience_seconds: float) -> T:
    answer: asyncio.Future[T] = asyncio.wrap_future(future)
    done, _ = await asyncio.wait([answer], timeout=patience_seconds)
    if not done:
        # Somebody else may wait for the same; this one's copy may fail unread.
        answer.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise TooSlow
    return answer.result()
