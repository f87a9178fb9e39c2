"""Calls that run on a pool of threads, now or after a delay. A delayed call blocks no thread of the pool."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)

Job = Callable[[], None]


class DelayedPool:
    """A thread pool with a clock.

    A job that raises is logged and dropped. A job that must not be lost has to catch its own errors.

    :param on_free: called by a thread of the pool after each job.
    """

    def __init__(self, name: str, *, threads: int, on_free: Callable[[], None] | None = None) -> None:
        self._name = name
        self._on_free = on_free
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._changed = threading.Condition()
        self._later: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._active = 0
        self._is_closed = False
        self._timer = threading.Thread(target=self._run_timer, name=f"{name}-timer", daemon=True)
        self._timer.start()

    @property
    def active(self) -> int:
        """How many jobs run or wait for a thread; delayed jobs are not counted."""
        return self._active

    @property
    def delayed(self) -> int:
        """How many jobs are delayed."""
        return len(self._later)

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as a thread is free. Nothing happens once the pool is closed."""
        with self._changed:
            if self._is_closed:
                return
            self._active += 1
        self._executor.submit(self._run, job).add_done_callback(self._ended)

    def submit_after(self, seconds: float, job: Job) -> None:
        """Run ``job`` after ``seconds``. Nothing happens once the pool is closed."""
        with self._changed:
            if not self._is_closed:
                heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), job))
                self._changed.notify_all()

    def close(self, *, seconds: float) -> bool:
        """Take no more jobs, drop the delayed ones, wait up to ``seconds`` for the others; return whether all ended."""
        with self._changed:
            self._is_closed = True
            self._later.clear()
            self._changed.notify_all()
            drained = self._changed.wait_for(lambda: self._active == 0, timeout=seconds)
        self._executor.shutdown(wait=drained, cancel_futures=True)
        self._timer.join(1)
        return drained

    def _run(self, job: Job) -> None:
        try:
            job()
        except Exception:
            log.exception("A job of %s failed unexpectedly and was dropped", self._name)

    def _ended(self, _: Future[None]) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify_all()
        if self._on_free is not None:
            self._on_free()

    def _run_timer(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                wait_seconds = self._later[0][0] - time.monotonic() if self._later else None
                if wait_seconds is None or wait_seconds > 0:
                    self._changed.wait(wait_seconds)
                    continue
                job = heapq.heappop(self._later)[2]
            self.submit(job)
