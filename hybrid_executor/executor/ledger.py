"""What one scheduler remembers of the attempts that it owns. Pure; it is compared with the records on a timer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_executor.events import AttemptId, Kind
from hybrid_executor.states import State

if TYPE_CHECKING:
    from hybrid_executor.compat import WorkloadKey


@dataclass(slots=True)
class Tracked:
    """One attempt that is submitted and has not ended.

    :ivar key: Airflow's key of the workload.
    :ivar workload_id: the id of the task instance, callback or connection test in Airflow's database.
    :ivar since: monotonic seconds of the last change that was seen.
    :ivar namespace: of its pod, "" where there is none or it is not known.
    :ivar is_superseded: a newer attempt of the same key is under way; this one still runs to its end, unreported.
    :ivar target: the name of the target of its route that it is on. :ivar profile: that of the target, "" for none.
    :ivar placed_since: monotonic seconds of its arrival there. What waits for too long goes on to the next target.
    :ivar leaving: why it is to leave its target, "" if it stays; see :class:`~hybrid_executor.store.Record`.
    :ivar stays: it cannot go on to another target, and waits where it is.
    :ivar try_number: of its task, 1 for other work.
    :ivar submitted_at: milliseconds on the Redis server's clock, 0 where it is not known yet.
    :ivar workload_run_id: Airflow's id of this one queueing of the key, "" where there is none or it is not known.
    """

    attempt: AttemptId
    key: WorkloadKey
    kind: Kind
    workload_id: str
    pool: str
    queue: str
    state: State
    generation: int
    since: float
    holder: str = ""
    namespace: str = ""
    is_superseded: bool = False
    workload_run_id: str = ""
    submitted_at: int = 0
    target: str = ""
    profile: str = ""
    placed_since: float = 0.0
    leaving: str = ""
    stays: bool = False
    try_number: int = 1


class Ledger:
    """Live attempts by id and by Airflow's key. A key has at most one: a newer attempt replaces an older one.

    A superseded attempt is not found by its key; it counts for its pool until it ends.
    """

    def __init__(self) -> None:
        self._by_attempt: dict[AttemptId, Tracked] = {}
        self._by_key: dict[Hashable, Tracked] = {}
        self._counts: Counter[str] = Counter()
        self._queues: Counter[str] = Counter()

    def add(self, tracked: Tracked) -> Tracked | None:
        """Remember an attempt; return the older one of the same key that it replaces, if any."""
        older = None if tracked.is_superseded else self._by_key.get(tracked.key)
        if older is not None:
            self.remove(older.attempt)
        self._by_attempt[tracked.attempt] = tracked
        if not tracked.is_superseded:
            self._by_key[tracked.key] = tracked
        self._counts[tracked.pool] += 1
        self._queues[tracked.queue] += 1
        return older if older is not None and older.attempt != tracked.attempt else None

    def remove(self, attempt: AttemptId) -> Tracked | None:
        """Forget an attempt and return it, ``None`` where it is not known."""
        tracked = self._by_attempt.pop(attempt, None)
        if tracked is not None:
            self._counts[tracked.pool] -= 1
            self._queues[tracked.queue] -= 1
            if not self._queues[tracked.queue]:
                del self._queues[tracked.queue]
            if self._by_key.get(tracked.key) is tracked:
                del self._by_key[tracked.key]
        return tracked

    def put(self, tracked: Tracked, pool: str) -> None:
        """Count an attempt for another pool from now on."""
        if pool != tracked.pool:
            if self._by_attempt.get(tracked.attempt) is tracked:
                self._counts[tracked.pool] -= 1
                self._counts[pool] += 1
            tracked.pool = pool

    def get(self, attempt: AttemptId) -> Tracked | None:
        """Return the attempt with this id."""
        return self._by_attempt.get(attempt)

    def of_key(self, key: Hashable) -> Tracked | None:
        """Return the attempt of this key."""
        return self._by_key.get(key)

    def count(self, pool: str) -> int:
        """Return how many attempts of a pool are live."""
        return self._counts[pool]

    @property
    def by_queue(self) -> Mapping[str, int]:
        """How many attempts of each queue are live."""
        return self._queues

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._by_attempt.values()))

    def __len__(self) -> int:
        return len(self._by_attempt)
