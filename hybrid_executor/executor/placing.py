"""How much room the targets of routes have. Redis is asked only where some route has a condition that needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hybrid_executor.executor.admission import Room
from hybrid_executor.executor.clock import Clock, Timer
from hybrid_executor.executor.outage import Outage
from hybrid_executor.operations.members import names_in
from hybrid_executor.routing import Routes
from hybrid_executor.store import Store

_SERVED_SECONDS = 2.0
_GONE_SECONDS = 10.0
"""A worker that is started again leaves its queue unserved for a moment. What waits there already need not move."""


class Placing:
    """What this scheduler knows of the room on targets.

    :param silent_seconds: a worker may have announced itself to a Redis that has lost it for so long.
    :param free_slots: returns the free slots of each pool of this scheduler.
    """

    def __init__(
        self,
        routes: Routes,
        store: Store,
        *,
        outage: Outage,
        clock: Clock,
        silent_seconds: float,
        free_slots: Callable[[], Mapping[str, int]],
    ) -> None:
        self._store = store
        self._outage = outage
        self._clock = clock
        self._silent_seconds = silent_seconds
        self._free_slots = free_slots
        self._limited = [
            route.place(target) for route in routes.routes for target in route.targets if target.most is not None
        ]
        self._asks_for_workers = any(target.is_served for target in routes.targets)
        self._counts: Mapping[str, int] = {}
        self._served: frozenset[str] | None = None
        self._served_at: dict[str, float] = {}
        self._asked_since = 0.0
        self._served_timer = Timer(_SERVED_SECONDS, clock)

    def ask(self) -> None:
        """Ask how full targets are, and every 2 s which queues have workers. No round trip without such conditions.

        :raises StoreUnavailable: Redis could not be asked.
        """
        if not self._limited and not self._asks_for_workers:
            return
        with self._outage.watch():
            if self._limited:
                self._counts = self._store.places.counts(self._limited)
            if self._asks_for_workers and self._served_timer.is_due():
                self._ask_for_workers()
                self._served_timer.restart()

    def room(self, slots: Mapping[str, int] | None = None) -> Room:
        """Return what is free by the last answers.

        :param slots: free slots of each pool, if others than those of this scheduler count.
        """
        return Room(self._free_slots() if slots is None else slots, counts=self._counts, serves=self.serves)

    def serves(self, queue: str) -> bool:
        """Return whether a living worker serves a queue. While that cannot be told, it counts as served."""
        return self._served is None or queue in self._served or not self._can_tell()

    def has_lost(self, queue: str) -> bool:
        """Return whether a queue has had no worker for some time, so that what waits there is not to wait longer."""
        seen_at = self._served_at.get(queue, self._asked_since)
        return not self.serves(queue) and self._clock() - seen_at >= _GONE_SECONDS

    def _can_tell(self) -> bool:
        return self._outage.can_tell_silence(self._silent_seconds)

    def _ask_for_workers(self) -> None:
        workers = self._store.presence.members("worker")
        now = self._clock()
        if self._served is None:
            self._asked_since = now
        self._served = frozenset(queue for worker in workers if worker.is_alive for queue in names_in(worker, "queues"))
        self._served_at.update(dict.fromkeys(self._served, now))
