"""How quickly pods may be created in one cluster: a rate, and a limit of pods that start, shared by all agents."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store

_WAIT_SECONDS = 0.1


class Pace:
    """Asks Redis for permission to create pods. :meth:`leave` is safe for several threads.

    :param most_starting: most pods whose task has not started yet, 0 for an adaptive limit.
    """

    def __init__(self, store: Store, *, cluster: str, pods_per_second: float, most_starting: int) -> None:
        self._store = store
        self._cluster = cluster
        self._pods_per_second = pods_per_second
        self._most_starting = most_starting
        self._left: deque[AttemptId] = deque()

    def admit(self, attempts: Sequence[AttemptId]) -> tuple[int, float]:
        """Return how many of ``attempts``, from the first, may be created now, and the seconds to wait for more.

        :raises StoreUnavailable: Redis unavailable. If it admitted some, they count for a short time only.
        """
        starting = self._store.starts.admit(self._cluster, attempts, most=self._most_starting)
        if not starting:
            return 0, _WAIT_SECONDS
        granted, wait_seconds = self._store.rates.take(
            self._cluster,
            wanted=starting,
            per_second=self._pods_per_second,
            capacity=max(1, int(self._pods_per_second)),
        )
        if granted < starting:
            self._store.starts.leave(self._cluster, attempts[granted:starting])
        return granted, wait_seconds or _WAIT_SECONDS

    def leave(self, attempt: AttemptId) -> None:
        """Note that an admitted pod is not created now. The next :meth:`flush` tells the other agents."""
        self._left.append(attempt)

    def flush(self) -> None:
        """Tell the other agents which admitted pods are not created.

        :raises StoreUnavailable: Redis unavailable; the next call tells them.
        """
        gone = [self._left[index] for index in range(len(self._left))]
        if gone:
            self._store.starts.leave(self._cluster, gone)
            for _ in gone:
                self._left.popleft()
