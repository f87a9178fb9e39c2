"""The documented executors: the hybrid executor with other routes, or with LocalExecutor in the place of Celery."""

from __future__ import annotations

from typing import ClassVar

from hybrid_executor.config.settings import Shape
from hybrid_executor.executor.hybrid import HybridExecutor


class KubernetesExecutor(HybridExecutor):
    """Every task runs in a pod, whatever its queue."""

    shape: ClassVar[Shape] = "kubernetes"


class LocalKubernetesExecutor(HybridExecutor):
    """Kubernetes queues become pods; the rest runs in Airflow's LocalExecutor, beside the scheduler."""

    shape: ClassVar[Shape] = "local_kubernetes"
    serve_logs = True
    is_local = True
