"""Hybrid executor for Apache Airflow: routes every task by its queue, to Celery workers or to Kubernetes pods.

The near side and the contract live here: the executor (in the scheduler), the agent (launches and watches pods),
the store (the only meeting place, in Redis) and the command line. What runs tasks on Celery workers is the far side,
the package ``hybrid_workers``. Importing this package imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_executor.executor import HybridExecutor, KubernetesExecutor, LocalKubernetesExecutor

__version__ = "0.1.0"

__all__ = ["HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor", "__version__"]


def __getattr__(name: str) -> Any:
    """Load an executor class when it is asked for, so that agents, workers and tools stay light."""
    if name in ("HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor"):
        from hybrid_executor import executor

        return getattr(executor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
