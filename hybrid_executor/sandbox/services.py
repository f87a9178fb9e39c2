"""The objects that the worker of every pod uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.containers import Containers
from hybrid_executor.sandbox.logs import LogStore
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.sandbox.pod_events import PodEvents
from hybrid_executor.sandbox.pods import Pods


@dataclass(frozen=True)
class NodeServices:
    """The parts of the sandbox that running a pod needs.

    :ivar directory: each pod gets its working directory in it.
    """

    cluster: Cluster
    pods: Pods
    events: PodEvents
    containers: Containers
    logs: LogStore
    node: NodeSettings
    directory: Path
