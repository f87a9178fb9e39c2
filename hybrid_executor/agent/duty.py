"""An agent's duty: whether it launches pods, the orders that it carries out, and the leases that it hands over.

A drained agent takes no new launches, and gives back those that wait. It offers each of its leases once to the others,
if another agent works in the same cluster. A lease that nobody takes comes back, so that pods stay watched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from uuid import uuid4

from hybrid_executor.agent.leases import KeptLease, LeaseKeeper
from hybrid_executor.store import Member, Order, Store

log = logging.getLogger(__name__)

_OFFERED_FOR = 1.5
"""How long a lease is offered, in its own durations."""


class Launches(Protocol):
    """One cluster's launches."""

    cluster: str

    @property
    def in_flight(self) -> int:
        """Launches and deletions without an outcome."""

    def pause(self) -> None:
        """Take no new launches, and give back those that wait."""

    def resume(self) -> None:
        """Take launches again."""


class Duty:
    """The duty of one agent.

    :ivar life: names this agent from its start to its end; orders are given to it.
    :param repair: does now what is else done on a timer.
    """

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        keeper: LeaseKeeper,
        clusters: Sequence[Launches],
        repair: Callable[[], None],
    ) -> None:
        self.life = uuid4().hex
        self._store = store
        self._name = name
        self._keeper = keeper
        self._clusters = clusters
        self._repair = repair
        self._is_draining = False
        self._obeyed: set[str] = set()
        self._offered: set[str] = set()
        self._may_offer: set[str] = set()

    @property
    def state(self) -> str:
        """The agent's state in one word: running, draining or drained."""
        if not self._is_draining:
            return "running"
        is_busy = any(cluster.in_flight for cluster in self._clusters)
        return "draining" if is_busy or self._to_offer() else "drained"

    def come_round(self) -> bool:
        """Carry out new orders, and hand over leases while the agent drains; return whether there were orders.

        :raises StoreUnavailable: Redis could not be asked.
        """
        orders = self._store.orders.take(self.life, obey=self._obey)
        if self._is_draining:
            self._look_for_others()
            for lease in self._to_offer():
                log.info("Offering the lease %s to the other agents", lease.name)
                self._offered.add(lease.name)
                lease.step_back(lease.seconds * _OFFERED_FOR)
        return bool(orders)

    def _obey(self, orders: list[Order]) -> None:
        """Carry out orders that were not carried out yet: one whose deletion failed comes again."""
        for order in orders:
            if order.id not in self._obeyed:
                log.info("Order from a user: %s", order.verb)
                self._carry_out(order)
        self._obeyed = {order.id for order in orders}

    def _carry_out(self, order: Order) -> None:
        if order.verb == "drain" and not self._is_draining:
            self._is_draining = True
            self._offered.clear()
            for cluster in self._clusters:
                cluster.pause()
        elif order.verb == "resume" and self._is_draining:
            self._is_draining = False
            for cluster in self._clusters:
                cluster.resume()
        elif order.verb == "repair":
            self._repair()

    def _look_for_others(self) -> None:
        others = [
            member
            for member in self._store.presence.members("agent")
            if member.is_alive and member.name != self._name and member.fields.get("state", "running") == "running"
        ]
        self._may_offer = {name for name in self._keeper.held if is_taken_by_any(name, others)}

    def _to_offer(self) -> list[KeptLease]:
        """Return the leases that another agent may take and that were not offered yet."""
        wanted = self._may_offer - self._offered
        return [lease for lease in self._keeper.kept if lease.is_held and lease.name in wanted]


def is_taken_by_any(lease: str, others: Iterable[Member]) -> bool:
    """Return whether one of these agents would take a lease: it works in the same cluster. Pure."""
    if not lease.startswith(("watch:", "warm:")):
        return any(True for _ in others)
    clusters = {name for member in others for name in member.fields.get("clusters", "").split(",") if name}
    return any(lease.startswith(f"watch:{cluster}:") or lease == f"warm:{cluster}" for cluster in clusters)
