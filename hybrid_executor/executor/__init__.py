"""The executor: what Airflow's scheduler sees.

Belongs here: Airflow's hooks, the memory of which attempts this scheduler answers for, and the timed repairs that only
an owner can do. Does not belong here: Redis commands, Kubernetes calls, anything that a worker or an agent does.

Promises: ``heartbeat()`` never raises and is bounded; the constructor has no side effects; a task that cannot be
submitted fails alone, with its reason; with Redis away everything stays queued and nothing fails.
"""

from __future__ import annotations

from hybrid_executor.executor.hybrid import HybridExecutor
from hybrid_executor.executor.variants import KubernetesExecutor, LocalKubernetesExecutor

__all__ = ["HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor"]
