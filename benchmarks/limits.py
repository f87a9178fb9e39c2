"""From what one task costs to how many a part of a deployment can bear, and what to do there. Pure.

A part that does nothing but its work for tasks uses one core. So one core divided by the CPU time of a task is the most
that it can do in a second. Real deployments reach their limit earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Part:
    """A part of a deployment.

    :ivar benchmark, metric: the row that has its CPU time a task; ``metric`` is how the name of the row ends.
    :ivar remedy: what to do where it is at its limit.
    """

    name: str
    benchmark: str
    metric: str
    remedy: str


PARTS = (
    Part(
        "one Redis",
        "growth",
        "an attempt from queued to ended",
        "A Redis of its own for the Celery broker; then one deployment (`instance`) per Redis.",
    ),
    Part(
        "one process of Airflow's API server",
        "end_to_end",
        "api-server: CPU a task",
        "More processes (`[api] workers`) or replicas. They share nothing but the database.",
    ),
    Part(
        "one scheduler",
        "end_to_end",
        "scheduler: CPU a task",
        "More schedulers. Each has its own attempts, and they share nothing but Redis and the database.",
    ),
    Part(
        "one core of PostgreSQL",
        "end_to_end",
        "PostgreSQL: CPU a task",
        "More cores for PostgreSQL. Schedulers and API servers share it, so it bounds how many of them help.",
    ),
    Part(
        "one core of workers",
        "end_to_end",
        "worker: CPU a task",
        "More workers. Where tasks are short, parse each Dag file once for many tasks.",
    ),
)


@dataclass(frozen=True)
class Limit:
    """What a part can bear.

    :ivar cost_seconds: CPU time of one task.
    """

    part: Part
    cost_seconds: float

    @property
    def per_second(self) -> float:
        """Tasks a second at which it uses one core all the time."""
        return 1 / self.cost_seconds


def find_limits(rows: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """Return the limits of all parts whose cost was measured, the first row of each counting."""
    limits = []
    for part in PARTS:
        for row in rows:
            if row["benchmark"] == part.benchmark and row["metric"].endswith(part.metric) and row["ours"] > 0:
                limits.append(Limit(part, row["ours"] * _UNITS[row["unit"]]))
                break
    return limits


def schedulers_per_core(limits: Sequence[Limit]) -> float | None:
    """Return how many schedulers at their limit keep one core of PostgreSQL busy, None where that is not known."""
    costs = {limit.part.name: limit.cost_seconds for limit in limits}
    scheduler, database = costs.get("one scheduler"), costs.get("one core of PostgreSQL")
    return scheduler / database if scheduler and database else None
