"""The documented import path of ``AirflowKubernetesScheduler``; it is defined in :mod:`hybrid_executor.agent.launch`.

Users of Airflow's executors know the class under this module's name, so the path stays while the folders may change.
"""

from hybrid_executor.agent.launch.launcher import AirflowKubernetesScheduler

__all__ = ["AirflowKubernetesScheduler"]
