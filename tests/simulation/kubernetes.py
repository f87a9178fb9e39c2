"""One cluster: its API server, its node, and the way to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.simulation.faults import FaultsMet
from tests.simulation.invariants_of_pods import PodOwners
from tests.simulation.kube_network import KubeNetwork
from tests.simulation.kube_server import KubeServer
from tests.simulation.kubelet import Kubelet
from tests.simulation.plan import Fault
from tests.simulation.tasks import Tasks
from tests.simulation.world import World

NAMESPACE = "default"


class Kubernetes:
    """What there is of Kubernetes in one history."""

    def __init__(
        self,
        world: World,
        tasks: Tasks,
        faults: tuple[Fault, ...],
        met: FaultsMet,
        *,
        has_lost_data: Callable[[], bool],
    ) -> None:
        self._world = world
        self.server = KubeServer(NAMESPACE)
        self.network = KubeNetwork(world, self.server, met)
        self.owners = PodOwners(self.server, has_lost_data=has_lost_data)
        self.kubelet = Kubelet(world, self.server, tasks, faults, self.owners)

    def arrange(self, fault: Fault) -> None:
        """Let a fault happen at its time, unless exchanges or starting pods meet it."""
        at = self._world.at
        if fault.kind == "quota":
            at(fault.at, partial(self._limit, fault, 1))
            at(fault.at + fault.seconds, partial(self._limit, fault, None))
        elif fault.kind == "no_attach":
            at(fault.at, partial(self._grant_attach, fault, is_granted=False))
            at(fault.at + fault.seconds, partial(self._grant_attach, fault, is_granted=True))
        elif fault.kind == "watch_cut":
            at(fault.at, self.network.cut_watches)
        elif fault.kind == "watch_expired":
            at(fault.at, self._expire)
        elif fault.is_of_pod and fault.kind not in ("start_error", "pull_fails"):
            at(fault.at, partial(self.kubelet.harm, fault))

    def _limit(self, fault: Fault, count: int | None) -> None:
        self._world.say(f"{fault}: pods {count or 'without limit'}")
        self.server.limit_pods(count)

    def _grant_attach(self, fault: Fault, *, is_granted: bool) -> None:
        self._world.say(f"{fault}: attaching to pods is {'allowed' if is_granted else 'forbidden'}")
        self.server.may_attach = is_granted

    def _expire(self) -> None:
        self.server.forget_history()
        self.network.cut_watches()
