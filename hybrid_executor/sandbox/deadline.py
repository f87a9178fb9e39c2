"""How long a pod may be active: ``spec.activeDeadlineSeconds``, which may be set and lowered at any time."""

from __future__ import annotations

import asyncio
import time


class Deadline:
    """The time that a pod may be active, counted from its start; it may be set or shortened later."""

    def __init__(self, seconds: int | None) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._changed = asyncio.Event()

    def set(self, seconds: int | None) -> None:
        """Let the time be ``seconds`` in all, None for no end."""
        if seconds != self._seconds:
            self._seconds = seconds
            self._changed.set()

    async def wait(self) -> None:
        """Return when the time is over."""
        while True:
            self._changed.clear()
            left = None if self._seconds is None else self._began + self._seconds - time.monotonic()
            if left is not None and left <= 0:
                return
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({changed}, timeout=left)
            finally:
                changed.cancel()
