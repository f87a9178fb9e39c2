"""Items handed in one by one and worked on by the batch, in their order, by a thread of its own."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from hybrid_executor.backoff import RECONNECT
from hybrid_executor.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST = 200
_END = None


class Batcher(Generic[T]):
    """Gathers what comes while the last batch is worked on.

    :param work: does a batch; repeated with the same batch for as long as it raises StoreUnavailable.
    """

    def __init__(self, name: str, work: Callable[[list[T]], None]) -> None:
        self._work = work
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand in an item."""
        self._items.put(item)

    def close(self, *, seconds: float) -> None:
        """Work on what was handed in, for at most ``seconds``; no item may come after this."""
        self._items.put(_END)
        self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            item = self._items.get()
            batch: list[T] = []
            while item is not _END and item is not None:
                batch.append(item)
                if len(batch) == _MOST or self._items.empty():
                    break
                item = self._items.get()
            is_over = item is _END
            if batch:
                self._do(batch)

    def _do(self, batch: list[T]) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._work(batch)
            except StoreUnavailable:
                failures += 1
                self._stop.wait(RECONNECT.seconds(failures, jitter=random.random()))
            except Exception:
                log.exception("A batch of %s items failed unexpectedly and was dropped", len(batch))
                return
            else:
                return
