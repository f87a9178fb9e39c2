"""The executor: what Airflow's scheduler sees.

Belongs here: Airflow's hooks, the list of attempts that this scheduler owns, and the timed repairs that only an owner
can do. Does not belong here: Redis commands, Kubernetes calls, anything that a worker or an agent does.

* ``hybrid``, ``variants``: Airflow's hooks. ``opening``: what they open at start. ``reports``: what Airflow is told.
* ``context``: what all parts share. ``ledger``: the attempts. ``pending``: what is still to be done. ``outage``,
  ``clock``, ``steps``: when Redis may be asked, and what is due.
* ``submission``, ``resubmission``: workloads out. ``intake``: events in. ``adoption``, ``revocation``: what Airflow
  asks for.
* ``loop``: each loop's work, with its repairs in ``comparison``, ``lost``, ``revived``, ``unserved`` and ``starts``.

Promises: ``heartbeat()`` never raises and its duration is limited; the constructor has no side effects; a task that
cannot be submitted fails alone, with its reason; while Redis is unavailable everything stays queued and nothing fails.
"""

from __future__ import annotations

from hybrid_executor.executor.hybrid import HybridExecutor
from hybrid_executor.executor.variants import KubernetesExecutor, LocalKubernetesExecutor

__all__ = ["HybridExecutor", "KubernetesExecutor", "LocalKubernetesExecutor"]
