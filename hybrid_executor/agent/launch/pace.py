"""How quickly pods may be created in one cluster: a rate, and a limit of pods that start, shared by all agents."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store

_WAIT_SECONDS = 0.1
_CREDIT_SECONDS = 2.0


def credit_of(pods_per_second: float) -> float:
    """Return how many launches of a queue may go on before those of others, after it had none for a while.

    Alone, it could create at once what the rate allows in a second, and as much in the next one. So beside others, a
    queue with so few launches waits no longer than alone, and one with more at most twice as long.
    """
    return _CREDIT_SECONDS * pods_per_second


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

    def admit(self, launches: Sequence[Launch]) -> tuple[int, float]:
        """Return how many of ``launches``, from the first, may be created now, and the seconds to wait for more.

        The first ones that are early do not wait for the rate that others have used up, as far as they would not have
        waited for it alone.

        :raises StoreUnavailable: Redis unavailable. If it admitted some, they count for a short time only.
        """
        attempts = [launch.entry.attempt for launch in launches]
        starting = self._store.starts.admit(self._cluster, attempts, most=self._most_starting)
        if not starting:
            return 0, _WAIT_SECONDS
        granted, wait_seconds = self._store.rates.take(
            self._cluster,
            wanted=starting,
            early=sum(1 for _ in takewhile(lambda launch: launch.is_early, launches[:starting])),
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
