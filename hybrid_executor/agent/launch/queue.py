"""The launches of one cluster that wait for their turn: fair between queues, namespaces and kinds of pods.

Promises: a launch that is refused now takes no turn, no thread and no token from others. Queues get their shares,
within a queue the namespaces take turns, and within a namespace the pods with different demands. Safe for several
threads. Times are seconds on a monotonic clock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from hybrid_executor.agent.launch.barrier import Barrier, Kind, Lane, key_of
from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.agent.launch.turns import SourceTurns
from hybrid_executor.events import StreamId
from hybrid_executor.fairness import Shares
from hybrid_executor.kube.demand import Demand
from hybrid_executor.kube.refusal import Refusal


@dataclass(frozen=True)
class Wait:
    """What follows from a refusal.

    :ivar seconds: until the next try of this kind of pod. :ivar note: what the launch waits for.
    :ivar is_over: it was tried for long enough: it fails and is not in the queue any more.
    :ivar is_news: no launch was refused for this cause before.
    """

    seconds: float
    note: str
    is_over: bool = False
    is_news: bool = False


class LaunchQueue:
    """The launches whose demand is known.

    :param shares: of the queues. :param credit: how many launches of a queue may go on at once after it had none.
    """

    def __init__(self, shares: Shares, *, credit: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Kind, Lane] = {}
        self._barriers: dict[str, dict[Hashable, Barrier]] = {}
        self._turns = SourceTurns(shares, credit=credit)
        self._waiting: OrderedDict[StreamId, Launch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_clear(self) -> bool:
        """Nothing waits, and nothing is known to be refused."""
        return not self._lanes and not self._barriers and not self._turns

    def add(self, launch: Launch, demand: Demand) -> None:
        """Put a launch at the end of its lane."""
        with self._lock:
            launch.demand = demand
            self._lane_of(launch.queue, demand).launches.append(launch)
            self._waiting[launch.entry.id] = launch

    def note_of(self, launch: Launch) -> str:
        """Return why a launch waits, "" if nothing refuses it."""
        with self._lock:
            lane = self._lanes.get((launch.queue, launch.demand)) if launch.demand else None
            return lane.barrier.reason if lane and lane.barrier and launch.entry.id in self._waiting else ""

    def waiting(self) -> dict[str, dict[str, int]]:
        """Return how many launches wait, by namespace and cause: ``turn`` where nothing refuses them."""
        counts: dict[str, dict[str, int]] = {}
        with self._lock:
            for (_, demand), lane in self._lanes.items():
                if lane.launches:
                    causes = counts.setdefault(demand.namespace, {})
                    cause = lane.barrier.refusal.cause if lane.barrier else "turn"
                    causes[cause] = causes.get(cause, 0) + len(lane.launches)
        return counts

    def refusals(self, now: float) -> list[dict[str, str | int | float]]:
        """Return what is refused now, for people: namespace, reason, launches that wait, seconds until the next try."""
        with self._lock:
            return [
                {
                    "namespace": barrier.demand.namespace,
                    "reason": barrier.refusal.reason,
                    "waiting": barrier.waiting,
                    "seconds": round(barrier.seconds(now), 1),
                }
                for barriers in self._barriers.values()
                for barrier in barriers.values()
            ]

    def put_back(self, launches: Sequence[Launch]) -> None:
        """Put launches back that were taken and not tried, at their old place."""
        with self._lock:
            for launch in reversed(launches):
                lane = self._put_first(launch)
                self._turns.take_back(launch, lane.barrier or lane)
                self._end_try(launch)

    def open_count(self, now: float) -> int:
        """Return how many launches wait only for their turn."""
        with self._lock:
            return self._turns.count(now)

    def take(self, most: int, *, now: float) -> list[Launch]:
        """Take up to ``most`` launches in turn. Report each back with one of the methods below."""
        taken: list[Launch] = []
        with self._lock:
            while len(taken) < most and (launch := self._turns.pop(now)) is not None:
                self._waiting.pop(launch.entry.id, None)
                taken.append(launch)
            for launch in taken:
                self._drop_empty(launch)
        return taken

    def created(self, launch: Launch, *, now: float) -> bool:
        """Note a created pod. Return whether such pods were refused until now and are not any more."""
        with self._lock:
            barrier = launch.barrier
            is_open = barrier is not None and self._is_known(barrier) and barrier.let_through(now=now)
            self._end_try(launch)
            if is_open and barrier is not None and self._is_known(barrier):
                self._dissolve(barrier)
            return is_open

    def settled(self, launch: Launch) -> None:
        """Note that a try ended with a result that says nothing about other launches."""
        with self._lock:
            self._end_try(launch)

    def refused(self, launch: Launch, refusal: Refusal, *, now: float, jitter: float, keeps: bool = True) -> Wait:
        """Note a refusal that concerns other launches too: all of them wait.

        :param keeps: the launch itself stays in the queue.
        """
        with self._lock:
            demand = launch.demand
            assert demand is not None
            tried = launch.barrier
            barrier = self._known(demand.namespace).get(key_of(demand, refusal))
            is_news = barrier is None
            if barrier is None:
                barrier = Barrier(demand, refusal, now=now)
            is_over = barrier.has_waited_enough(launch, refusal, now=now)
            if is_over:
                barrier.try_next(now=now)
                seconds = 0.0
            elif tried is None and not is_news:
                seconds = 0.0  # it was being tried when others were refused
            else:
                seconds = barrier.close(refusal, launch, now=now, jitter=jitter)
            self._set_up(barrier, launch.queue, demand)
            if keeps and not is_over:
                self._put_first(launch)
            self._end_try(launch)
            self._drop_if_unused(barrier)
            return Wait(seconds, barrier.reason, is_over=is_over, is_news=is_news)

    def hope(self, namespace: str, freed: Collection[str] | None = None, *, now: float) -> None:
        """A pod of this namespace ended: launches that wait for a quota of what it had may try now.

        :param freed: the resources that it asked for, ``None`` if that is not known.
        """
        with self._lock:
            for barrier in self._known(namespace).values():
                barrier.hope(freed, now=now)

    def longest_unchecked(self, most: int) -> list[Launch]:
        """Return up to ``most`` waiting launches, those that were returned longest ago first."""
        with self._lock:
            chosen = []
            for _ in range(min(most, len(self._waiting))):
                entry = next(iter(self._waiting))
                self._waiting.move_to_end(entry)
                chosen.append(self._waiting[entry])
            return chosen

    def remove(self, launch: Launch) -> bool:
        """Remove a launch that is void; return whether it was still waiting."""
        with self._lock:
            if self._waiting.pop(launch.entry.id, None) is None:
                return False
            launch.is_void = True
            return True

    def remove_all(self) -> list[Launch]:
        """Remove and return all waiting launches; they count as void here."""
        return [launch for launch in self.longest_unchecked(len(self)) if self.remove(launch)]

    def _known(self, namespace: str) -> dict[Hashable, Barrier]:
        return self._barriers.get(namespace, {})

    def _lane_of(self, queue: str, demand: Demand) -> Lane:
        lane = self._lanes.get((queue, demand))
        if lane is None:
            lane = self._lanes[queue, demand] = Lane(queue, demand)
            barrier = next((one for one in self._known(demand.namespace).values() if one.stops(demand)), None)
            self._attach(lane, barrier)
        return lane

    def _attach(self, lane: Lane, barrier: Barrier | None) -> None:
        lane.barrier = barrier
        if barrier is not None:
            barrier.lanes[lane.kind] = lane
        else:
            self._turns.add(lane)

    def _detach(self, lane: Lane) -> None:
        if lane.barrier is not None:
            lane.barrier.lanes.pop(lane.kind, None)
            self._drop_if_unused(lane.barrier)
            lane.barrier = None
        else:
            self._turns.remove(lane)

    def _put_first(self, launch: Launch) -> Lane:
        assert launch.demand is not None
        lane = self._lane_of(launch.queue, launch.demand)
        lane.launches.appendleft(launch)
        self._waiting[launch.entry.id] = launch
        return lane

    def _set_up(self, barrier: Barrier, queue: str, demand: Demand) -> None:
        """Attach the refused lane, and each open lane with the same cause, to the barrier."""
        namespace = demand.namespace
        if barrier.key not in self._known(namespace):
            self._barriers.setdefault(namespace, {})[barrier.key] = barrier
            self._turns.add(barrier)
        refused = self._lanes.get((queue, demand))
        if refused is None:
            refused = self._lanes[queue, demand] = Lane(queue, demand)
            self._attach(refused, barrier)
        elif refused.barrier is not barrier:
            self._detach(refused)
            self._attach(refused, barrier)
        for source in self._turns.of_namespace(namespace):
            if isinstance(source, Lane) and barrier.stops(source.demand):
                self._detach(source)
                self._attach(source, barrier)

    def _is_known(self, barrier: Barrier) -> bool:
        return self._known(barrier.demand.namespace).get(barrier.key) is barrier

    def _end_try(self, launch: Launch) -> None:
        barrier, launch.barrier = launch.barrier, None
        if barrier is not None:
            barrier.end_try()
            self._drop_if_unused(barrier)

    def _dissolve(self, barrier: Barrier) -> None:
        namespace = barrier.demand.namespace
        self._known(namespace).pop(barrier.key, None)
        if not self._known(namespace):
            self._barriers.pop(namespace, None)
        self._turns.remove(barrier)
        for lane in list(barrier.lanes.values()):
            if lane.launches:
                self._attach(lane, None)
            else:
                self._lanes.pop(lane.kind, None)
        barrier.lanes.clear()

    def _drop_empty(self, launch: Launch) -> None:
        """Forget the lane of a launch if it is empty and nothing refuses it."""
        assert launch.demand is not None
        lane = self._lanes.get((launch.queue, launch.demand))
        if lane is not None and not lane.launches and lane.barrier is None:
            self._lanes.pop(lane.kind)
            self._turns.remove(lane)

    def _drop_if_unused(self, barrier: Barrier) -> None:
        """Forget a barrier without waiting launches and tries."""
        is_used = barrier.is_tried or any(lane.launches for lane in barrier.lanes.values())
        if not is_used and self._is_known(barrier):
            self._dissolve(barrier)
