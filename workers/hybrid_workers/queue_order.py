"""In which order a worker asks its queues for the next message, where the broker is a Redis.

kombu gives each queue its turn. This order also counts the slots that each queue holds here, and the shares of
``[hybrid_executor] fair_share``. A user's own ``queue_order_strategy`` wins. Other brokers choose by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from celery.worker import state as books  # type: ignore[import-untyped]

from hybrid_executor.fairness import LEAD_ROUNDS, Shares, Turns

OPTION = "queue_order_strategy"


class FairOrder:
    """The interface of kombu's cycles (``kombu.utils.scheduling.round_robin_cycle``).

    :param holding: returns how many slots each queue holds now.
    """

    def __init__(self, shares: Shares, holding: Callable[[], Mapping[str, int]]) -> None:
        self._turns = Turns(shares, rounds=LEAD_ROUNDS)
        self._holding = holding
        self._queues: list[str] = []

    def update(self, it: Iterable[str]) -> None:
        """Replace the queues. Those that stay keep what they have been served."""
        self._queues = list(dict.fromkeys(it))

    def consume(self, n: int) -> list[str]:
        """Return the first ``n`` queues, the one whose turn it is first."""
        return self._turns.order(self._queues, self._holding())[:n]

    def rotate(self, last_used: str) -> str:
        """Note that a message came from a queue."""
        leads = self._turns.leads({last_used, *self._queues}, self._holding())
        self._turns.serve(last_used, lead=leads[last_used])
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used


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
