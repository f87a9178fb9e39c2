"""The launches that an agent has taken from the stream and whose pods are not built yet, fair between queues.

The stream is in the order of arrival. So an agent that reads thousands ahead builds first the pods of those queues
whose turn it is. Threads may add; one thread takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.fairness import Shares, Turns


class UnreadLaunches:
    """Launches by queue, within a queue in their order of arrival.

    :param credit: how many launches of a queue may be read at once after it had none.
    """

    def __init__(self, shares: Shares, *, credit: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._turns = Turns(shares, credit=credit)
        self._by_queue: dict[str, deque[Launch]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._by_queue.values()))

    def add(self, launch: Launch) -> None:
        """Put a launch at the end of its queue."""
        with self._lock:
            self._by_queue.setdefault(launch.queue, deque()).append(launch)

    def take(self, most: int) -> list[Launch]:
        """Take up to ``most`` launches in turn."""
        taken: list[Launch] = []
        with self._lock:
            while self._by_queue and len(taken) < most:
                queue = self._turns.first(self._by_queue)
                taken.append(self._by_queue[queue].popleft())
                self._turns.serve(queue, is_alone=len(self._by_queue) == 1)
                if not self._by_queue[queue]:
                    del self._by_queue[queue]
        return taken

    def put_back(self, launches: Sequence[Launch]) -> None:
        """Put launches back that were taken last, at their old place."""
        with self._lock:
            for launch in reversed(launches):
                self._turns.take_back(launch.queue)
                self._by_queue.setdefault(launch.queue, deque()).appendleft(launch)
