"""The regular look at launches that wait: which need not wait any more, and what their records say of the others."""

from __future__ import annotations

from collections.abc import Callable

from hybrid_executor.agent.launch.entries import Again, Dropped, Failed, Launch, Withdrawn
from hybrid_executor.agent.launch.preparation import LaunchPreparer
from hybrid_executor.agent.launch.queue import LaunchQueue

_CHECK_EVERY_SECONDS = 1.0
_CHECKED_AT_ONCE = 500


class WaitingLaunches:
    """Checks the launches of a queue, some at a time.

    :param put_note: writes a note into a record.
    """

    def __init__(self, queue: LaunchQueue, preparer: LaunchPreparer, *, put_note: Callable[[Again], None]) -> None:
        self._queue = queue
        self._preparer = preparer
        self._put_note = put_note
        self._next_check = 0.0

    def check(self, now: float) -> list[Dropped | Failed | Withdrawn]:
        """Take launches out that need not wait any more and return them; note what the others wait for.

        :param now: seconds on a monotonic clock.
        :raises StoreUnavailable: Redis unavailable; they are checked later.
        """
        if now < self._next_check or not len(self._queue):
            return []
        self._next_check = now + _CHECK_EVERY_SECONDS
        launches = self._queue.longest_unchecked(_CHECKED_AT_ONCE)
        over = [item for item in self._preparer.check(launches) if self._queue.remove(item.launch)]
        for launch in launches:
            self.tell(launch, self._queue.note_of(launch))
        return over

    def tell(self, launch: Launch, note: str) -> None:
        """Write into the record what a launch waits for, if that is new and not ""."""
        if note and note != launch.note:
            launch.note = note
            self._put_note(Again(launch, 0.0, note))
