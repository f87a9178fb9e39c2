"""Assigns pods to the node in the order of their creation. Pods that do not fit wait, and their status says why."""

from __future__ import annotations

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.node import NodeSettings, unschedulable_message, why_unschedulable
from hybrid_executor.sandbox.objects import PODS, Object, name_of, namespace_of
from hybrid_executor.sandbox.pod_events import PodEvents
from hybrid_executor.sandbox.pod_status import scheduled_status
from hybrid_executor.sandbox.pods import Pods

COMPONENT = "default-scheduler"


class Scheduler:
    """Decides which pods run. Used in the event loop only.

    :ivar is_node_lost: while set, no pod fits.
    :ivar is_closed: nothing is decided any more.
    """

    def __init__(self, cluster: Cluster, pods: Pods, events: PodEvents, node: NodeSettings) -> None:
        self._cluster = cluster
        self._pods = pods
        self._events = events
        self._node = node
        self._waiting: dict[str, tuple[str, str]] = {}
        self._running: dict[str, Object] = {}
        self._problems: dict[str, str] = {}
        self.is_node_lost = False
        self.is_closed = False

    def add(self, pod: Object) -> None:
        """Take a new pod into account: give it to the node, or let it wait behind the others."""
        uid = pod["metadata"]["uid"]
        self._waiting[uid] = (namespace_of(pod), name_of(pod))
        if len(self._running) < self._node.pod_capacity or self.is_node_lost:
            self.schedule()
        else:
            self._try(uid)

    def claim(self, pod: Object) -> None:
        """Count a pod that was created on the node already."""
        self._running[pod["metadata"]["uid"]] = pod

    def release(self, uid: str) -> None:
        """Forget a pod that has ended or is gone, and let others take its place; unknown is no error."""
        self._waiting.pop(uid, None)
        self._problems.pop(uid, None)
        if self._running.pop(uid, None) is not None:
            self.schedule()

    def schedule(self) -> None:
        """Give waiting pods to the node, in order, as long as there is room."""
        for uid in list(self._waiting):
            if self.is_closed:
                return
            self._try(uid)
            if len(self._running) >= self._node.pod_capacity and not self.is_node_lost:
                return

    def _try(self, uid: str) -> None:
        key = self._waiting.get(uid)
        pod = self._cluster.find(PODS, *key) if key else None
        if pod is None or pod["metadata"]["uid"] != uid or pod["spec"].get("nodeName"):
            self._waiting.pop(uid, None)
            return
        why = why_unschedulable(pod, self._node, self._running.values(), is_lost=self.is_node_lost)
        if why:
            self._report(pod, why)
            return
        del self._waiting[uid]
        self._problems.pop(uid, None)
        self._running[uid] = pod
        status = scheduled_status(pod["status"])
        bound = self._pods.bind(pod, node=self._node.name, status=status)
        target = f"{namespace_of(bound)}/{name_of(bound)}"
        message = f"Successfully assigned {target} to {self._node.name}"
        self._events.write(bound, "Scheduled", message, source=COMPONENT)

    def _report(self, pod: Object, why: str) -> None:
        """Write down why a pod waits, once per reason."""
        uid = pod["metadata"]["uid"]
        if self._problems.get(uid) == why:
            return
        self._problems[uid] = why
        message = unschedulable_message(why)
        status = scheduled_status(pod["status"], problem=message)
        written = self._pods.set_status(namespace_of(pod), name_of(pod), status)
        self._events.write(written, "FailedScheduling", message, kind="Warning", source=COMPONENT)
