"""Which target a workload may have now: free slots of this scheduler, and free places of targets with a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.events import Kind
from hybrid_executor.executor.fair_admission import admit
from hybrid_executor.fairness import Turns
from hybrid_executor.routing import Route, Routes
from hybrid_executor.targets import Target

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload


class Room:
    """What is free. Each target that is taken makes it less.

    How many places of a target are free is only what Redis said a moment ago. The script that submits decides: what
    finds no place there stays where it is, and asks again.

    :param slots: free slots of each pool; what is in no pool is not taken.
    :param counts: how many attempts are at each place; places that are missing here are not known to be full.
    :param serves: returns whether some living worker serves a queue.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        *,
        counts: Mapping[str, int] | None = None,
        serves: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._slots = Counter(slots)
        self._counts = Counter(counts or {})
        self._serves = serves

    @property
    def slots(self) -> int:
        """How many slots are free, over all pools."""
        return self._slots.total()

    def take(
        self, route: Route, *, queue: str, try_number: int = 1, targets: Sequence[Target] | None = None
    ) -> Target | None:
        """Return the first target of a route that a workload may have now, and take it; ``None`` where there is none.

        :param try_number: of its task, from 1 on.
        :param targets: only these of the route.
        """
        for target in route.targets if targets is None else targets:
            if self._takes(target, queue, try_number) and self._is_free(route, target):
                self._count(route, target, 1)
                return target
        return None

    def fill(
        self, route: Route, *, queue: str, try_number: int, count: int, targets: Sequence[Target] | None = None
    ) -> None:
        """Do what :meth:`take` does for so many workloads."""
        if not route.is_elastic:
            self._slots[route.pool] -= min(count, max(0, self._slots[route.pool]))
            return
        while count and self.take(route, queue=queue, try_number=try_number, targets=targets) is not None:
            count -= 1

    def move(
        self, route: Route, current: Target | None, *, targets: Sequence[Target], queue: str, try_number: int
    ) -> Target | None:
        """Do what :meth:`take` does for an attempt that gives back what it has on its current target."""
        if current is not None:
            self._count(route, current, -1)
        target = self.take(route, queue=queue, try_number=try_number, targets=targets)
        if target is None and current is not None:
            self._count(route, current, 1)
        return target

    def _count(self, route: Route, target: Target, change: int) -> None:
        self._slots[target.pool] -= change
        self._counts[route.place(target)] += change

    def _takes(self, target: Target, queue: str, try_number: int) -> bool:
        """Return whether a target takes such work at all, however much room it has."""
        if target.tries is not None and try_number > target.tries:
            return False
        return not target.is_served or self._serves(queue)

    def _is_free(self, route: Route, target: Target) -> bool:
        is_full = target.most is not None and self._counts[route.place(target)] >= target.most
        return self._slots[target.pool] > 0 and not is_full


class Asking:
    """Workloads that ask for a target, each by the route of its queue.

    :param default_queue: of workloads that name none, or that cannot be read.
    :param kinds_in_pods: what pods can run.
    """

    def __init__(
        self,
        room: Room,
        routes: Routes,
        *,
        default_queue: str,
        kinds_in_pods: Collection[Kind] = compat.kinds_in_pods(),
    ) -> None:
        self._room = room
        self._routes = routes
        self._default_queue = default_queue
        self._kinds_in_pods = kinds_in_pods

    def admit(
        self, waiting: Iterable[AirflowWorkload], *, turns: Turns, holding: Mapping[str, int]
    ) -> Iterator[tuple[AirflowWorkload, Target]]:
        """Yield the workloads that may be submitted now with their targets.

        Queues have their turns; see :func:`~hybrid_executor.executor.fair_admission.admit`.

        :param waiting: the most urgent one first.
        :param holding: how many slots each queue holds already.
        """
        return admit(waiting, lane_of=self._lane_of, take=self.ask, turns=turns, holding=holding)

    def fill(self, waiting: Iterable[AirflowWorkload]) -> None:
        """Let all workloads take their room that find some, in any order."""
        for (queue, (try_number, runs_anywhere)), count in Counter(map(self._lane_of, waiting)).items():
            route = self._routes.find(queue)
            targets = None if runs_anywhere else _without_pods(route)
            self._room.fill(route, queue=queue, try_number=try_number, count=count, targets=targets)

    def _lane_of(self, workload: AirflowWorkload) -> tuple[str, tuple[int, bool]]:
        """Return the queue of a workload, its try where targets take some tries only, and whether pods can run it.

        The latter two do not matter where a route has one target.
        """
        queue = self.queue_of(workload)
        route = self._routes.find(queue)
        if not route.is_elastic:
            return queue, (1, True)
        return queue, (compat.try_number_of(workload) if route.asks_for_tries else 1, self._runs_anywhere(workload))

    def ask(self, workload: AirflowWorkload) -> Target | None:
        """Return the target that a workload may have now, and take its room; ``None`` where there is none."""
        queue = self.queue_of(workload)
        route = self._routes.find(queue)
        try_number = compat.try_number_of(workload) if route.is_elastic else 1
        targets = _without_pods(route) if route.is_elastic and not self._runs_anywhere(workload) else None
        return self._room.take(route, queue=queue, try_number=try_number, targets=targets)

    def _runs_anywhere(self, workload: AirflowWorkload) -> bool:
        return compat.kind_of(workload) in self._kinds_in_pods

    def queue_of(self, workload: AirflowWorkload) -> str:
        """Return the queue that a workload asks for; the default queue where it cannot be read.

        Never raises: such a workload is refused alone when it is prepared.
        """
        try:
            return compat.queue_of(workload, default_queue=self._default_queue)
        except Exception:  # noqa: BLE001 - what is wrong with it is reported when it is prepared
            return self._default_queue


def _without_pods(route: Route) -> list[Target] | None:
    """Return the targets for work that pods cannot run; ``None`` for all of a route that has no others.

    Such work waits for a worker also where none is there yet: an autoscaler sees it and starts one.
    """
    return [replace(target, is_served=False) for target in route.targets if target.pool != "kubernetes"] or None
