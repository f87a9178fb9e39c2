"""Hybrid executor for Apache Airflow: routes every task by its queue, to Celery workers or to Kubernetes pods.

This package has the executor (in the scheduler), the agent (creates and watches pods), the store (in Redis, through
which all parts communicate) and the command line. The package ``hybrid_workers`` runs tasks on Celery workers.
Importing this package imports no other module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_executor.executor import HybridExecutor, KubernetesExecutor, LocalKubernetesExecutor

__version__ = "0.1.0"

__all__ = ["HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor", "__version__"]


def __getattr__(name: str) -> Any:
    """Load an executor class when it is first used, so that agents, workers and tools need less memory."""
    if name in ("HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor"):
        from hybrid_executor import executor

        return getattr(executor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
