"""Whose launch is next: queues in proportion to their shares, then namespaces, then kinds of pods, each in its turn.

Not safe for several threads: its owner locks.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from hybrid_executor.agent.launch.barrier import Barrier, Lane
from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.fairness import Shares, Turns

Source = Lane | Barrier
"""Where launches are taken from in turn: a lane, or a barrier with all lanes that wait for it."""


class SourceTurns:
    """The sources of launches that are asked in turn. Times are seconds on a monotonic clock.

    :param credit: how many launches of a queue may go on at once after it had none.
    """

    def __init__(self, shares: Shares, *, credit: float = 0.0) -> None:
        self._turns = Turns(shares, credit=credit)
        self._sources: dict[str, OrderedDict[str, deque[Source]]] = {}

    def __bool__(self) -> bool:
        return bool(self._sources)

    def add(self, source: Source) -> None:
        """Ask a source too from now on."""
        namespaces = self._sources.setdefault(source.queue, OrderedDict())
        namespaces.setdefault(source.demand.namespace, deque()).append(source)

    def remove(self, source: Source) -> None:
        """Ask a source no more; one that is not asked is ignored."""
        namespaces = self._sources.get(source.queue, OrderedDict())
        sources = namespaces.get(source.demand.namespace, deque())
        if source in sources:
            sources.remove(source)
            if not sources:
                del namespaces[source.demand.namespace]
            if not namespaces:
                del self._sources[source.queue]

    def of_namespace(self, namespace: str) -> list[Source]:
        """Return the sources of a namespace."""
        return [source for namespaces in self._sources.values() for source in namespaces.get(namespace, ())]

    def count(self, now: float) -> int:
        """Return how many launches may go on now."""
        return sum(
            source.count(now)
            for namespaces in self._sources.values()
            for sources in namespaces.values()
            for source in sources
        )

    def pop(self, now: float) -> Launch | None:
        """Return the next launch, None if none may go on now."""
        queues = list(self._sources)
        while queues:
            queue = self._turns.first(queues)
            launch = _first(self._sources[queue], now)
            if launch is not None:
                is_alone = len(self._sources) == 1
                launch.is_early = not is_alone and self._turns.is_behind(queue)
                self._turns.serve(queue, is_alone=is_alone)
                return launch
            queues.remove(queue)
        return None

    def take_back(self, launch: Launch, source: Source) -> None:
        """Note that a launch was not tried: its turn is not over. What several gave back, take back in reverse order.

        :param source: where the launch waits again. It is asked first.
        """
        self._turns.take_back(Barrier.queue if launch.barrier is not None else launch.queue)
        namespaces = self._sources[source.queue]
        namespaces.move_to_end(source.demand.namespace, last=False)
        sources = namespaces[source.demand.namespace]
        sources.remove(source)
        sources.appendleft(source)


def _first(namespaces: OrderedDict[str, deque[Source]], now: float) -> Launch | None:
    for _ in range(len(namespaces)):
        namespace, sources = next(iter(namespaces.items()))
        namespaces.move_to_end(namespace)
        for _ in range(len(sources)):
            source = sources[0]
            sources.rotate(-1)
            launch = source.pop(now)
            if launch is not None:
                return launch
    return None
