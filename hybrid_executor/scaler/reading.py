"""One reading of the store for all who ask at the same time, and a limit for how long they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.scaler.demand import Demand

FRESH_SECONDS = 2.0
ANSWER_SECONDS = 2.5  # KEDA waits for 3 s by default


class Readings:
    """Answers from one reading for as long as it is fresh. Use it from one event loop.

    :param read: asks the store; runs in ``executor``, one call at a time.
    """

    def __init__(
        self,
        read: Callable[[], Demand],
        executor: Executor,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._executor = executor
        self._fresh_seconds = fresh_seconds
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._last: Demand | None = None
        self._last_at = 0.0
        self._reading: asyncio.Future[Demand] | None = None

    async def demand(self) -> Demand:
        """Return what the store says, at most ``fresh_seconds`` ago.

        :raises StoreUnavailable: it cannot be asked, or has not answered in time.
        """
        if self._last is not None and self._clock() - self._last_at < self._fresh_seconds:
            return self._last
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(self._executor, self._read)
            self._reading.add_done_callback(self._take)
        try:
            return await asyncio.wait_for(asyncio.shield(self._reading), self._answer_seconds)
        except asyncio.TimeoutError:
            raise StoreUnavailable(f"Redis has not answered within {self._answer_seconds:g} s") from None

    def _take(self, reading: asyncio.Future[Demand]) -> None:
        if not reading.cancelled() and reading.exception() is None:
            self._last, self._last_at = reading.result(), self._clock()
