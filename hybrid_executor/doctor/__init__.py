"""Examines a whole deployment: Redis, clusters, Airflow's configuration, workers and agents. Changes nothing.

Belongs here: deciders (functions from facts to findings, without side effects), and the readers that give them their
facts through ``store``, ``kube``, ``pools`` and ``config``. Does not belong here: calls to Redis, Kubernetes or Celery
themselves, and what is printed (``cli``).

Promises: a check that raises or does not end is a finding of its own, and the other checks go on. The whole ends within
:data:`~hybrid_executor.doctor.rounds.MOST_SECONDS`, whatever is down.
"""

from __future__ import annotations

from hybrid_executor.doctor.deployment import PARTS, examine
from hybrid_executor.doctor.findings import Finding, Level

__all__ = ["PARTS", "Finding", "Level", "examine"]
