"""In which order workloads ask for a slot: queues by their shares, within a queue by Airflow's priority. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from hybrid_executor.fairness import Contest, Turns

Item = TypeVar("Item")
Place = TypeVar("Place")


def admit(
    waiting: Iterable[Item],
    *,
    lane_of: Callable[[Item], tuple[str, Hashable]],
    take: Callable[[Item], Place | None],
    turns: Turns,
    holding: Mapping[str, int],
) -> Iterator[tuple[Item, Place]]:
    """Yield the workloads that may be submitted now, each with what it got when it was asked for.

    :param waiting: the most urgent one first.
    :param lane_of: returns the queue of a workload, and a value that is equal for those of its queue that get something
        or nothing alike.
    :param take: returns what a workload gets, ``None`` for nothing: then all behind it in its lane get nothing either.
    :param holding: how many slots each queue holds already.
    """
    queues = _by_queue(waiting, lane_of)
    is_alone = len(queues) == 1
    contest = Contest(turns, queues, holding)
    while contest:
        queue = contest.first()
        lanes = queues[queue]
        item = lanes.pop()
        if item is None:
            contest.drop()
            continue
        place = take(item)
        if place is None:
            lanes.close()
            continue
        if is_alone:  # nothing to compare it with
            turns.serve(queue)
        else:
            contest.serve()
        yield item, place


class _Lane(Generic[Item]):
    """Workloads that get something or nothing alike, and their places among all."""

    __slots__ = ("items", "numbers")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.numbers: deque[int] = deque()


class _Lanes(Generic[Item]):
    """The waiting workloads of one queue."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, _Lane[Item]] = {}
        self._last: Hashable = None

    def lane(self, kind: Hashable) -> _Lane[Item]:
        found = self._lanes.get(kind)
        if found is None:
            found = self._lanes[kind] = _Lane()
        return found

    def pop(self) -> Item | None:
        """Return the most urgent workload, ``None`` where there is none."""
        lanes = self._lanes
        if not lanes:
            return None
        kind = next(iter(lanes)) if len(lanes) == 1 else min(lanes, key=lambda kind: lanes[kind].numbers[0])
        lane = lanes[kind]
        item = lane.items.popleft()
        lane.numbers.popleft()
        if not lane.items:
            del lanes[kind]
        self._last = kind
        return item

    def close(self) -> None:
        """Drop the rest of the lane of the last workload."""
        self._lanes.pop(self._last, None)


def _by_queue(waiting: Iterable[Item], lane_of: Callable[[Item], tuple[str, Hashable]]) -> dict[str, _Lanes[Item]]:
    queues: dict[str, _Lanes[Item]] = {}
    for number, item in enumerate(waiting):
        queue, kind = lane_of(item)
        lanes = queues.get(queue)
        if lanes is None:
            lanes = queues[queue] = _Lanes()
        lane = lanes.lane(kind)
        lane.items.append(item)
        lane.numbers.append(number)
    return queues
