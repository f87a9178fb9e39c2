"""What can be done to a running sandbox at once: cut, stall, forget, kill. Used in the event loop only.

Each method is also a command of ``POST /sandbox/commands/<name>``, with its arguments as a JSON object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.fault_rules import Denial, FaultRules
from hybrid_executor.sandbox.kubelet import Kubelet
from hybrid_executor.sandbox.status import bad_request, no_such_path
from hybrid_executor.sandbox.watching import WatchSwitch


class Disturbances:
    """Everything that goes wrong at a moment, rather than to certain requests.

    :param restart: takes the API down for some seconds.
    :param kubelet: None where pods are not run; commands about pods are then refused.
    """

    def __init__(
        self,
        cluster: Cluster,
        switch: WatchSwitch,
        connections: Connections,
        rules: FaultRules,
        *,
        kubelet: Kubelet | None,
        restart: Callable[[float], None],
    ) -> None:
        self._cluster = cluster
        self._switch = switch
        self._connections = connections
        self._rules = rules
        self._kubelet = kubelet
        self._restart = restart

    def cut_watches(self) -> int:
        """Cut the connections of all watches; return how many there were."""
        return self._connections.cut_watches()

    def stall_watches(self) -> None:
        """Let watches stay open and send nothing, as behind a half-open connection."""
        self._switch.are_stalled = True
        self._cluster.wake()

    def resume_watches(self) -> None:
        """Let stalled watches go on where they were."""
        self._switch.are_stalled = False
        self._cluster.wake()

    def duplicate_events(self, copies: int = 2) -> None:
        """Send each event so many times from now on; 1 ends it."""
        self._switch.copies = copies

    def replay_events(self, count: int) -> None:
        """Send the newest changes once more to every watch, out of order."""
        self._switch.replay_count = count
        self._switch.replays += 1
        self._cluster.wake()

    def compact(self) -> None:
        """Forget all history: every older version is answered with 410."""
        self._cluster.compact()

    def restart(self, down_seconds: float = 0.0) -> None:
        """Take the API down: connections are cut and refused, then it is back with the same objects. Pods go on."""
        self._restart(down_seconds)

    def deny(self, verb: str, resource: str = "pods", namespace: str = "") -> None:
        """Take a right away: 403 for requests, "no" for access reviews."""
        self._rules.deny(Denial(verb, resource, namespace))

    def oom_kill(self, namespace: str, name: str, container: str = "") -> None:
        """Let the out-of-memory killer strike a container of a running pod."""
        self._node().oom_kill(namespace, name, container=container)

    def evict(self, namespace: str, name: str, message: str) -> None:
        """Let the kubelet evict a running pod."""
        self._node().evict(namespace, name, message=message)

    def lose_node(self) -> None:
        """Lose the node with all its pods."""
        self._node().lose_node()

    def recover_node(self) -> None:
        """Bring the node back."""
        self._node().recover_node()

    def run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Run one of the others by its name.

        :raises StatusError: 404 for an unknown one, 400 for arguments that do not fit.
        """
        if name.startswith("_") or name == "run" or not hasattr(Disturbances, name):
            raise no_such_path()
        method = getattr(self, name)
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            raise bad_request(f"{name}: {error}") from error
        return method(**arguments)

    def _node(self) -> Kubelet:
        if self._kubelet is None:
            raise bad_request("this sandbox runs no pods")
        return self._kubelet
