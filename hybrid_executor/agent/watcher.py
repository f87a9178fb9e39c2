"""The documented import path of ``KubernetesJobWatcher``; it is defined in :mod:`hybrid_executor.agent.watch`.

Users of Airflow's executors know the class under this module's name, so the path stays while the folders may change.
"""

from hybrid_executor.agent.watch.watcher import KubernetesJobWatcher

__all__ = ["KubernetesJobWatcher"]
