"""The namespace controller: empties a namespace that is being deleted, then removes it."""

from __future__ import annotations

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.objects import NAMESPACES, PODS, RESOURCES, is_being_deleted, name_of
from hybrid_executor.sandbox.pods import Deletion, Pods


class NamespaceController:
    """Finishes the deletion of a namespace. It is removed after its last pod, which gets its grace period."""

    def __init__(self, cluster: Cluster, pods: Pods) -> None:
        self._cluster = cluster
        self._pods = pods

    def handle(self, change: Change) -> None:
        """Act on a change of a namespace, or of a pod in one that is ending."""
        if change.resource is NAMESPACES and change.after is not None and is_being_deleted(change.after):
            for pod in self._cluster.select(PODS, name_of(change.after)):
                self._pods.delete(name_of(change.after), name_of(pod), Deletion())
            self._remove_if_empty(name_of(change.after))
        elif change.resource is PODS and change.after is None:
            self._remove_if_empty(change.key[0])

    def _remove_if_empty(self, namespace: str) -> None:
        found = self._cluster.find(NAMESPACES, "", namespace)
        if found is None or not is_being_deleted(found):
            return
        if self._cluster.select(PODS, namespace):
            return
        for resource in RESOURCES:
            if resource.is_namespaced:
                for stored in self._cluster.select(resource, namespace):
                    self._cluster.remove(resource, namespace, name_of(stored))
        self._cluster.remove(NAMESPACES, "", namespace)
