"""One watch, read by a thread of its own into a bounded queue, so that its reader can batch and keep time."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.watch import DEFAULT_SILENCE_SECONDS, Event, WatchHandle, watch_once

_MOST_WAITING = 20_000


@dataclass(frozen=True)
class WatchEnd:
    """The watch is over: cleanly, or by ``error``."""

    error: Exception | None


class WatchReader:
    """Reads from ``resource_version`` on until the watch ends or :meth:`stop`."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str | None,
        selector: str,
        resource_version: str,
        silence_seconds: float = DEFAULT_SILENCE_SECONDS,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = selector
        self._resource_version = resource_version
        self._silence_seconds = silence_seconds
        self._handle = WatchHandle()
        self._events: queue.Queue[Event | WatchEnd] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._read, name=f"watch-{namespace or 'all'}", daemon=True)
        self._thread.start()

    def take(self, *, most: int, wait_seconds: float) -> list[Event | WatchEnd]:
        """Return what has come, at most ``most``, waiting up to ``wait_seconds`` for the first."""
        try:
            taken = [self._events.get(timeout=wait_seconds)]
        except queue.Empty:
            return []
        while len(taken) < most:
            try:
                taken.append(self._events.get_nowait())
            except queue.Empty:
                break
        return taken

    def stop(self) -> None:
        """End the watch; what was read and not taken is dropped."""
        self._handle.stop()
        self._thread.join(2)

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for event in watch_once(
                self._client,
                self._namespace,
                self._selector,
                self._resource_version,
                silence_seconds=self._silence_seconds,
                handle=self._handle,
            ):
                self._put(event)
        except KubeError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  (handed to the thread that reads, which logs it)
            error = failure
        self._put(WatchEnd(error))

    def _put(self, item: Event | WatchEnd) -> None:
        while not self._handle.is_stopped:
            try:
                self._events.put(item, timeout=0.5)
            except queue.Full:
                continue
            return
