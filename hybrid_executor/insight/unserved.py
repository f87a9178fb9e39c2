"""Work that nobody takes: in a queue without a worker, or for a cluster without an agent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybrid_executor.insight.durations import some
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.states import State


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
    :ivar drained: workers that would serve the queue if they need not drain.
    """

    place: Place
    attempts: int
    drained: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What is wrong, as a sentence without its end."""
        waits = f"{some(self.attempts, 'attempt')} {'waits' if self.attempts == 1 else 'wait'}"
        if self.place.pool != "celery":
            return f"{waits} for pods in cluster {self.place.name}, for which no agent is alive"
        if self.drained:
            names = ", ".join(self.drained)
            return f"{waits} in queue {self.place.name}, which is served only by workers that drain: {names}"
        return f"{waits} in queue {self.place.name}, which no living worker serves"

    @property
    def cure(self) -> str:
        """What to do."""
        name = self.place.name
        if self.place.pool != "celery":
            return (
                "run airflow hybrid agent; with [hybrid_executor] agent = child the scheduler starts one itself, so "
                "see its log"
            )
        if self.drained:
            return (
                f"let it take tasks again (airflow hybrid drain {self.drained[0]} --undo), or run airflow hybrid "
                f"worker --queues {name}"
            )
        return f"run airflow hybrid worker --queues {name}, or route the queue elsewhere in [hybrid_executor] routes"

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}"


def place_of(*, pool: str, queue: str, cluster: str, state: State) -> Place | None:
    """Return where an attempt waits for a worker or an agent, ``None`` where it does not."""
    if pool == "celery" and state is State.SUBMITTED:
        return Place(pool=pool, name=queue)
    if pool == "kubernetes" and not state.is_terminal:
        return Place(pool=pool, name=cluster)
    return None


def find_unserved(
    waiting: Iterable[Place | None], *, workers: Sequence[WorkerView], agents: Sequence[AgentView]
) -> list[Unserved]:
    """Return the places where attempts wait and that no living worker or agent serves, in order."""
    served = {Place(pool="celery", name=queue) for worker in workers if worker.is_alive for queue in worker.queues}
    served |= {Place(pool="kubernetes", name=name) for agent in agents if agent.is_alive for name in agent.clusters}
    counts = Counter(place for place in waiting if place is not None and place not in served)
    return [
        Unserved(place=place, attempts=count, drained=drained_of(place, workers))
        for place, count in sorted(counts.items())
    ]


def drained_of(place: Place, workers: Sequence[WorkerView]) -> tuple[str, ...]:
    """Return the living workers that would serve a queue if they need not drain."""
    if place.pool != "celery":
        return ()
    return tuple(worker.name for worker in workers if worker.is_alive and place.name in worker.paused_queues)
