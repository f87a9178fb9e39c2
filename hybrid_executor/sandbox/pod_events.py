"""The Event objects that scheduler and kubelet write about pods."""

from __future__ import annotations

import secrets
from collections import deque
from typing import Literal

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.objects import EVENTS, Object, name_of, namespace_of, timestamp

KEPT_EVENTS = 5000
"""How many events are kept (a real server forgets them after an hour)."""

EventType = Literal["Normal", "Warning"]


class PodEvents:
    """Writes events about pods."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._written: deque[tuple[str, str]] = deque()

    def write(
        self, pod: Object, reason: str, message: str, *, kind: EventType = "Normal", source: str = "kubelet"
    ) -> None:
        """Write one event; the oldest ones go."""
        now = timestamp()
        namespace = namespace_of(pod)
        name = f"{name_of(pod)[:240]}.{secrets.token_hex(6)}"
        self._cluster.create(
            EVENTS,
            {
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "namespace": namespace,
                    "name": name_of(pod),
                    "uid": pod["metadata"]["uid"],
                    "resourceVersion": pod["metadata"]["resourceVersion"],
                },
                "reason": reason,
                "message": message,
                "type": kind,
                "source": {"component": source},
                "reportingComponent": source,
                "reportingInstance": "",
                "firstTimestamp": now,
                "lastTimestamp": now,
                "eventTime": None,
                "count": 1,
            },
        )
        self._written.append((namespace, name))
        if len(self._written) > KEPT_EVENTS:
            oldest = self._written.popleft()
            if self._cluster.find(EVENTS, *oldest) is not None:
                self._cluster.remove(EVENTS, *oldest)
