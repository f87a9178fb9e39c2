"""In which order a worker asks its queues for the next message, where the broker is a Redis.

kombu gives each queue its turn. This order also counts the slots that each queue holds here, and the shares of
``[hybrid_executor] fair_share``. A queue that had nothing to do while others were served goes first for some rounds:
else its few tasks wait for many of the others. A user's own ``queue_order_strategy`` wins. Other brokers choose by
themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from celery.worker import state as books  # type: ignore[import-untyped]

from hybrid_executor.fairness import Shares, Turns

OPTION = "queue_order_strategy"
_ROUNDS = 4
"""For how many rounds of a worker's slots a queue may go first that had nothing to do before."""


class FairOrder:
    """The interface of kombu's cycles (``kombu.utils.scheduling.round_robin_cycle``).

    :param holding: returns how many slots each queue holds now.
    """

    def __init__(self, shares: Shares, holding: Callable[[], Mapping[str, int]]) -> None:
        self._shares = shares
        self._turns = Turns(shares)
        self._holding = holding
        self._queues: list[str] = []
        self._lead: dict[str, int] = {}
        """How often a queue that holds slots still goes first."""

    def update(self, it: Iterable[str]) -> None:
        """Replace the queues. Those that stay keep what they have been served."""
        self._queues = list(dict.fromkeys(it))

    def consume(self, n: int) -> list[str]:
        """Return the first ``n`` queues, the one whose turn it is first."""
        holding = self._holding()
        in_turn = self._turns.order(self._queues, holding)
        return sorted(in_turn, key=lambda queue: self._find_lead(queue, holding) == 0)[:n]

    def rotate(self, last_used: str) -> str:
        """Note that a message came from a queue."""
        lead = self._find_lead(last_used, self._holding())
        self._lead[last_used] = max(0, lead - 1)
        if lead:
            self._turns.catch_up(last_used)
        else:
            self._turns.serve(last_used)
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used

    def _find_lead(self, queue: str, holding: Mapping[str, int]) -> int:
        """Return how often a queue goes first from now on: one that holds nothing, as often as it has missed its turn.

        For some rounds of this worker at most, and for fewer where another queue has a larger share.
        """
        if holding.get(queue):
            return self._lead.get(queue, 0)
        slots = sum(holding.values()) + 1  # where it matters, all are held but one
        largest = max(map(self._shares.of, (queue, *self._queues)))
        return int(min(_ROUNDS * slots * self._shares.of(queue) / largest, self._turns.missed(queue)))


def with_fair_order(transport_options: Mapping[str, Any], shares: Shares) -> dict[str, Any]:
    """Return the options of kombu's Redis transport with our order of queues, unless they name another one."""
    order = partial(FairOrder, shares, slots_by_queue)
    return {OPTION: order, **transport_options}


def slots_by_queue() -> Mapping[str, int]:
    """Return how many slots of this worker each queue holds: what runs here, and what waits here to run."""
    return Counter(_queue_of(request) for request in list(books.reserved_requests))


def _queue_of(request: Any) -> str:
    told = request.delivery_info
    return str(told.get("routing_key") or "") if isinstance(told, Mapping) else ""
