"""The launches that an agent has taken from the stream and whose pods are not built yet, fair between queues.

The stream is in the order of arrival. So an agent that reads thousands ahead builds first the pods of those queues
whose turn it is. Threads may add; one thread takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.events import AttemptId
from hybrid_executor.fairness import Shares, Turns
from hybrid_executor.store import Store

AskQueues = Callable[[Sequence[AttemptId]], Mapping[AttemptId, str]]
"""Returns the queues of attempts. Raises StoreUnavailable."""


def read_queues(store: Store, attempts: Sequence[AttemptId]) -> dict[AttemptId, str]:
    """Return the queues of attempts.

    :raises StoreUnavailable: Redis unavailable.
    """
    return {record.id: record.queue for record in store.view.records(attempts, ("queue",))}


class UnreadLaunches:
    """Launches by queue, within a queue in their order of arrival.

    :param credit: how many launches of a queue may be read at once after it had none.
    :param ask: returns the queues of attempts; asked if not all launches can be taken at once.
    """

    def __init__(self, shares: Shares, *, credit: float = 0.0, ask: AskQueues) -> None:
        self._lock = threading.Lock()
        self._ask = ask
        self._turns = Turns(shares, credit=credit)
        self._by_queue: dict[str, deque[Launch]] = {}
        self._unsorted: deque[Launch] = deque()

    def __len__(self) -> int:
        with self._lock:
            return len(self._unsorted) + sum(map(len, self._by_queue.values()))

    def add(self, launch: Launch) -> None:
        """Put a launch at the end of its queue."""
        self._unsorted.append(launch)

    def take(self, most: int) -> list[Launch]:
        """Take up to ``most`` launches in turn.

        :raises StoreUnavailable: Redis unavailable; nothing was taken.
        """
        self._sort(is_needed=len(self) > most)
        taken: list[Launch] = []
        with self._lock:
            while self._by_queue and len(taken) < most:
                queue = self._turns.first(self._by_queue)
                taken.append(self._by_queue[queue].popleft())
                self._turns.serve(queue, is_alone=len(self._by_queue) == 1)
                if not self._by_queue[queue]:
                    del self._by_queue[queue]
        return taken

    def _sort(self, *, is_needed: bool) -> None:
        """Put new launches into their queues, or all into one if their turns do not matter now."""
        new = [self._unsorted[index] for index in range(len(self._unsorted))]
        unknown = [launch.entry.attempt for launch in new if not launch.queue] if is_needed else []
        queues = self._ask(unknown) if unknown else {}
        with self._lock:
            for launch in new:
                self._unsorted.popleft()
                launch.queue = launch.queue or queues.get(launch.entry.attempt, "")
                self._by_queue.setdefault(launch.queue, deque()).append(launch)

    def put_back(self, launches: Sequence[Launch]) -> None:
        """Put launches back that were taken last, at their old place."""
        with self._lock:
            for launch in reversed(launches):
                self._turns.take_back(launch.queue)
                self._by_queue.setdefault(launch.queue, deque()).appendleft(launch)
