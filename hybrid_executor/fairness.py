"""Whose turn it is where slots are scarce: queues get slots in proportion to their shares. Pure.

The same rule holds in the executor, on each worker and in each agent. The queue with the fewest slots for its share is
first. Of equal ones, it is the one that has been served the least for its share (start-time fair queueing: Goyal, Vin,
Cheng, 1997). A queue that had nothing to do gets something limited for that time. Where slots are held, it leads: it
goes first for some rounds of all slots, else its few tasks wait for several rounds of the others. At a rate, it has a
credit.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from heapq import heapify, heappop, heapreplace

from hybrid_executor.errors import ConfigError

_EXAMPLE = "reports=3, etl-*=1, *=1"
LEAD_ROUNDS = 4
"""For how many rounds a queue leads that had nothing to do: a small one then waits less than twice as long as alone."""
_REMEMBERED = 1_000
_NOBODY: Mapping[str, int] = {}


@dataclass(frozen=True)
class Share:
    """Each queue that matches ``pattern`` (:mod:`fnmatch`, case matters) has this share."""

    pattern: str
    share: float

    def __str__(self) -> str:
        return f"{self.pattern}={self.share:g}"


class Shares:
    """An ordered table of shares. The first match wins; a queue without a match has the share 1."""

    def __init__(self, shares: Sequence[Share] = ()) -> None:
        self.shares = tuple(shares)
        self.of = lru_cache(maxsize=4096)(self._search)
        """Return the share of a queue."""

    def _search(self, queue: str) -> float:
        return next((share.share for share in self.shares if fnmatchcase(queue, share.pattern)), 1.0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shares) and self.shares == other.shares

    def __hash__(self) -> int:
        return hash(self.shares)

    def __str__(self) -> str:
        return ", ".join(map(str, self.shares))


def parse_shares(text: str, *, option: str = "[hybrid_executor] fair_share") -> Shares:
    """Return the shares that ``text`` describes: ``pattern=share``, separated by commas or lines.

    :raises ConfigError: one is malformed, its share is not above 0, or a pattern appears twice; the message says what
        to write.
    """
    shares: list[Share] = []
    for part in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        pattern, separator, number = (piece.strip() for piece in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = 0.0
        if not separator or not pattern or not 0 < share < float("inf"):
            raise ConfigError(
                f"{option}: {part!r} is not a share; write pattern=number with a number above 0 ({_EXAMPLE})."
            )
        if any(earlier.pattern == pattern for earlier in shares):
            raise ConfigError(f"{option}: the pattern {pattern!r} appears twice; remove one of them.")
        shares.append(Share(pattern, share))
    return Shares(shares)


class Turns:
    """Which queue is served next. Not safe for several threads.

    :param shares: of the queues.
    :param credit: how often a queue may be served at once after it had nothing to do.
    :param rounds: for how many rounds of all slots a queue may lead that had nothing to do.
    """

    def __init__(self, shares: Shares, *, credit: float = 0.0, rounds: int = 0) -> None:
        self._share = shares.of
        self._credit = credit
        self._rounds = rounds
        self._led: dict[str, int] = {}
        """How often a queue that holds slots still leads."""
        self._served: dict[str, float] = {}
        """How much each queue has been served for its share, on a scale on which idle queues are moved forward."""
        self._now = 0.0
        self._last: deque[tuple[str, float | None, float]] = deque(maxlen=_REMEMBERED)
        """The last that were served, and how it was before."""

    def first(self, queues: Iterable[str], holding: Mapping[str, int] = _NOBODY) -> str:
        """Return the queue whose turn it is; of equal ones, the first in ``queues``.

        :param holding: how many slots each queue holds now; nothing where slots are not held (a rate).
        """
        names = tuple(queues)
        return min(names, key=self._comparing(names, holding))

    def order(self, queues: Iterable[str], holding: Mapping[str, int] = _NOBODY) -> list[str]:
        """Return the queues, the one whose turn it is first; equal ones in the order of ``queues``."""
        names = tuple(queues)
        return sorted(names, key=self._comparing(names, holding))

    def leads(self, queues: Iterable[str], holding: Mapping[str, int]) -> dict[str, int]:
        """Return how often each queue goes first from now on: one that holds nothing, as often as it has missed a turn.

        For some rounds at most, and for fewer where another queue has a larger share.
        """
        names = tuple(queues)
        if not self._rounds:
            return dict.fromkeys(names, 0)
        largest = max(map(self._share, names), default=1.0)
        most = self._rounds * (sum(holding.values()) + 1) / largest  # where it matters, all slots are held but one
        return {
            queue: self._led.get(queue, 0)
            if holding.get(queue)
            else int(min(most * self._share(queue), self._missed(queue)))
            for queue in names
        }

    def is_behind(self, queue: str) -> bool:
        """Return whether a queue has been served less for its share than others: it has credit for its next slot."""
        return self._begin(queue) + 1 / self._share(queue) <= self._now + 1e-9

    def serve(self, queue: str, *, is_alone: bool = False, lead: int = 0) -> None:
        """Note that a queue got a slot.

        :param is_alone: no other queue wanted it. The queue then uses up its credit without a need for it.
        :param lead: how often it goes first, with this time; see :meth:`leads`.
        """
        if self._rounds:
            self._led[queue] = max(0, lead - 1)
        if lead:
            self._served[queue] = max(self._now, self._served.get(queue, 0.0))  # it has missed nothing any more
            return
        begin = max(self._now, self._begin(queue)) if is_alone else self._begin(queue)
        self._last.append((queue, self._served.get(queue), self._now))
        self._now = max(self._now, begin)
        self._served[queue] = begin + 1 / self._share(queue)

    def take_back(self, queue: str) -> None:
        """Note that a queue did not use its slot. It must be the one that was served last."""
        if not self._last or self._last[-1][0] != queue:
            return
        _, served, self._now = self._last.pop()
        if served is None:
            del self._served[queue]
        else:
            self._served[queue] = served

    def least_share(self, queues: Iterable[str]) -> float:
        """Return the smallest share of some queues."""
        return min(map(self._share, queues), default=1.0)

    def standing(self, queue: str, holding: Mapping[str, int], least: float) -> tuple[int, float]:
        """Return what queues are compared by: the smallest is first. It never gets smaller while queues are served.

        :param least: the smallest share of all that are compared.
        """
        # Whole rounds only: with few slots, a small share must not exclude a queue, nor a large one be cut to equal.
        rounds = int(holding.get(queue, 0) * least / self._share(queue) + 1e-9)
        return rounds, self._begin(queue)

    def _comparing(self, queues: Sequence[str], holding: Mapping[str, int]) -> Callable[[str], tuple[bool, int, float]]:
        least, leads = self.least_share(queues), self.leads(queues, holding)
        return lambda queue: (leads[queue] == 0, *self.standing(queue, holding, least))

    def _missed(self, queue: str) -> float:
        """Return how often a queue would have been served if it had always had something to do."""
        return max(0.0, self._now - self._served.get(queue, 0.0)) * self._share(queue)

    def _begin(self, queue: str) -> float:
        return max(self._now - self._credit / self._share(queue), self._served.get(queue, float("-inf")))


class Contest:
    """Many turns one after the other, among the same queues; the cost of one hardly rises with their number.

    :param holding: how many slots each queue holds at the beginning.
    """

    def __init__(self, turns: Turns, queues: Iterable[str], holding: Mapping[str, int] = _NOBODY) -> None:
        self._turns = turns
        names = tuple(queues)
        self._held = {queue: holding.get(queue, 0) for queue in names}
        self._leads = turns.leads(names, holding)
        self._least = turns.least_share(names)
        self._heap = [(*self._standing(queue), index, queue) for index, queue in enumerate(names)]
        heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def first(self) -> str:
        """Return the queue whose turn it is; there must be one."""
        while True:
            *before, index, queue = self._heap[0]
            standing = self._standing(queue)
            if standing == tuple(before):
                return queue
            heapreplace(self._heap, (*standing, index, queue))  # meanwhile others were served

    def serve(self) -> None:
        """Give the first queue a slot."""
        queue = self.first()
        self._turns.serve(queue, lead=self._leads[queue])
        self._leads[queue] = max(0, self._leads[queue] - 1)
        self._held[queue] += 1

    def drop(self) -> None:
        """Leave the first queue out from now on."""
        self.first()
        heappop(self._heap)

    def _standing(self, queue: str) -> tuple[bool, int, float]:
        return self._leads[queue] == 0, *self._turns.standing(queue, self._held, self._least)
