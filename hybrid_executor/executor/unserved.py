"""Work that nobody takes: in a queue without a worker, or for a cluster without an agent."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybrid_executor.executor.context import Context
from hybrid_executor.states import State
from hybrid_executor.store import Member

log = logging.getLogger(__name__)

_WAITED_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where work waits.

    :ivar name: the queue of a worker, or the cluster of an agent.
    """

    pool: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Unserved:
    """Work that nobody takes.

    :ivar attempts: how many attempts wait there.
    """

    place: Place
    attempts: int

    def __str__(self) -> str:
        few = "1 attempt waits" if self.attempts == 1 else f"{self.attempts} attempts wait"
        if self.place.pool == "celery":
            return (
                f"{few} in queue {self.place.name}, which no living worker serves: run airflow hybrid worker --queues "
                f"{self.place.name}, or route the queue elsewhere in [hybrid_executor] routes"
            )
        return (
            f"{few} for pods in cluster {self.place.name}, for which no agent is alive: run airflow hybrid agent, or "
            "set [hybrid_executor] agent = child"
        )


def place_of(*, pool: str, queue: str, cluster: str, state: State) -> Place | None:
    """Return where an attempt waits for a worker or an agent, ``None`` where it does not."""
    if pool == "celery" and state is State.SUBMITTED:
        return Place(pool=pool, name=queue)
    if pool == "kubernetes" and not state.is_terminal:
        return Place(pool=pool, name=cluster)
    return None


def find_unserved(
    waiting: Iterable[Place | None], *, workers: Sequence[Member], agents: Sequence[Member]
) -> list[Unserved]:
    """Return the places where attempts wait and that no living worker or agent serves, in order."""
    served = {Place(pool="celery", name=queue) for queue in _names(workers, "queues")}
    served |= {Place(pool="kubernetes", name=cluster) for cluster in _names(agents, "clusters")}
    counts = Counter(place for place in waiting if place is not None and place not in served)
    return [Unserved(place=place, attempts=count) for place, count in sorted(counts.items())]


def _names(members: Sequence[Member], field: str) -> set[str]:
    """Return the names that living members announce in a field, where they are separated by commas."""
    return {name for m in members if m.is_alive for name in m.fields.get(field, "").split(",") if name}


class UnservedWarnings:
    """Warns once of each place where attempts of this scheduler have waited for 30 s and that nobody serves."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._warned: set[Place] = set()

    def look(self) -> None:
        """Look for such places, and log a warning for each new one.

        :raises StoreUnavailable: Redis could not be asked.
        """
        settings, now = self._context.settings, self._context.clock()
        waiting = [
            place_of(
                pool=tracked.pool,
                queue=tracked.queue,
                cluster=settings.profile_of(settings.routes.find(tracked.queue)).cluster,
                state=tracked.state,
            )
            for tracked in self._context.ledger
            if now - tracked.since >= _WAITED_SECONDS
        ]
        if not any(waiting) and not self._warned:
            return
        presence = self._context.store.presence
        unserved = find_unserved(waiting, workers=presence.members("worker"), agents=presence.members("agent"))
        for item in unserved:
            if item.place not in self._warned:
                log.warning("%s", item)
        self._warned = {item.place for item in unserved}
