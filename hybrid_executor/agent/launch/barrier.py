"""What refuses launches now (a quota, a closing namespace, a busy server), and the launches that wait for it.

Promises: while a barrier is closed, one launch at a time tries again, after pauses that double. After a success two may
try, then four, until the barrier is removed. Not safe for several threads: its owner locks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterator

from hybrid_executor.agent.launch.entries import Launch
from hybrid_executor.backoff import CREATE
from hybrid_executor.kube.demand import Demand
from hybrid_executor.kube.refusal import Refusal

_OPEN_AT = 16
"""After so many successes at the same time, nothing is refused any more."""


Kind = tuple[str, Demand]
"""A queue and a demand: launches of the same kind wait in one lane."""


class Lane:
    """Launches of one queue with the same demand, in their order of arrival.

    :ivar barrier: what refuses them now, None if nothing does.
    """

    __slots__ = ("barrier", "demand", "launches", "queue")

    def __init__(self, queue: str, demand: Demand) -> None:
        self.queue = queue
        self.demand = demand
        self.launches: deque[Launch] = deque()
        self.barrier: Barrier | None = None

    @property
    def kind(self) -> Kind:
        """What all its launches have in common."""
        return self.queue, self.demand

    def pop(self, now: float) -> Launch | None:  # noqa: ARG002
        """Return the next launch, None if there is none."""
        while self.launches:
            launch = self.launches.popleft()
            if not launch.is_void:
                launch.barrier, launch.barrier_age = None, 0
                return launch
        return None

    def count(self, now: float) -> int:  # noqa: ARG002
        """Return how many launches may go on now, void ones included."""
        return len(self.launches)


class Barrier:
    """One cause of refusals. Times are seconds on a monotonic clock.

    :ivar queue: "", because launches of all queues wait for it.
    :ivar since: when it began to refuse, without a success in between.
    """

    queue = ""

    def __init__(self, demand: Demand, refusal: Refusal, *, now: float) -> None:
        self.demand = demand
        self.refusal = refusal
        self.key = key_of(demand, refusal)
        self.since = now
        self.lanes: dict[Kind, Lane] = {}
        self._until = now
        self._failures = 0
        self._window = 1
        self._tries = 0
        self._age = 0

    @property
    def reason(self) -> str:
        """Why launches wait, as text for the record."""
        return f"{self.refusal.reason} Tried again every minute or sooner."

    @property
    def waiting(self) -> int:
        """How many launches wait for it."""
        return sum(len(lane.launches) for lane in self.lanes.values())

    def seconds(self, now: float) -> float:
        """Return the time until the next try."""
        return max(0.0, self._until - now)

    @property
    def is_tried(self) -> bool:
        """Launches are trying now whether it is open again."""
        return self._tries > 0

    def stops(self, demand: Demand) -> bool:
        """Return whether a pod of this demand would be refused for the same cause."""
        refusal = self.refusal
        if demand.namespace != self.demand.namespace:
            return False
        if refusal.concerns == "namespace" or demand == self.demand:
            return True
        if refusal.concerns == "account":
            return demand.account == self.demand.account
        if refusal.concerns == "demand":
            return demand.scope == self.demand.scope and demand.asks_for_any(refusal.exceeded)
        return False

    def count(self, now: float) -> int:
        """Return how many of the waiting launches may try now."""
        if now < self._until:
            return 0
        return max(0, min(self._window - self._tries, sum(len(lane.launches) for lane in self.lanes.values())))

    def pop(self, now: float) -> Launch | None:
        """Return a launch that may try now, None for none: the smallest demand first, then the longest wait."""
        if now < self._until or self._tries >= self._window:
            return None
        for lane in self._least_first():
            launch = lane.pop(now)
            if launch is None:
                continue
            self.lanes[lane.kind] = self.lanes.pop(lane.kind)  # the next lane of the same size has its turn
            launch.barrier, launch.barrier_age = self, self._age
            self._tries += 1
            return launch
        return None

    def end_try(self) -> None:
        """Note that a launch has finished its try, with any result."""
        self._tries = max(0, self._tries - 1)

    def let_through(self, *, now: float) -> bool:
        """Note a success: more launches may try. Return whether nothing is refused any more."""
        self._failures = 0
        self._window *= 2
        self._until = self.since = now
        return self._window > _OPEN_AT

    def close(self, refusal: Refusal, launch: Launch, *, now: float, jitter: float) -> float:
        """Note a refusal: close for longer. Return the seconds until the next try.

        A launch that began its try before the barrier last closed says nothing new.
        """
        if launch.barrier is self and launch.barrier_age != self._age:
            return max(0.0, self._until - now)
        self.refusal = refusal
        self._age += 1
        self._window = 1
        self._failures += 1
        seconds = CREATE.seconds(self._failures, jitter=jitter, retry_after=refusal.retry_after_seconds)
        if refusal.most_seconds is not None:
            # The last try is made when the time is over, not up to a minute later.
            left = max(launch.accepted_at, self.since) + refusal.most_seconds - now
            seconds = min(seconds, max(left, 0.0)) if left > 0 else seconds
        self._until = now + seconds
        return seconds

    def has_waited_enough(self, launch: Launch, refusal: Refusal, *, now: float) -> bool:
        """Return whether a refused launch has been tried for long enough and fails."""
        if refusal.most_seconds is None:
            return False
        return now - max(launch.accepted_at, self.since) >= refusal.most_seconds

    def hope(self, freed: Collection[str] | None, *, now: float) -> None:
        """A pod ended and may have freed its share: let one launch try now, and start again with short pauses.

        :param freed: the resources that it asked for, ``None`` if that is not known. Others are as scarce as before.
        """
        exceeded = self.refusal.exceeded
        if exceeded and (freed is None or any(resource in exceeded for resource in freed)):
            self._failures = 0
            self._until = now

    def try_next(self, *, now: float) -> None:
        """Let the next launch try now."""
        self._until = now

    def _least_first(self) -> Iterator[Lane]:
        exceeded = self.refusal.exceeded
        yield from sorted(
            (lane for lane in self.lanes.values() if lane.launches),
            key=lambda lane: [lane.demand.amount(resource) for resource in exceeded],
        )


def key_of(demand: Demand, refusal: Refusal) -> Hashable:
    """Return a key that is the same for the same cause of refusals."""
    if refusal.concerns == "namespace":
        return ("namespace", demand.namespace)
    if refusal.concerns == "account":
        return ("account", demand.namespace, demand.account)
    if refusal.concerns == "demand":
        return ("demand", demand.namespace, demand.scope, tuple(sorted(refusal.exceeded.items())))
    return ("alike", demand)
