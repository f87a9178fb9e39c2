"""What waits and runs, as an autoscaler needs it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_executor.config import Settings
from hybrid_executor.insight.facts import Facts
from hybrid_executor.insight.queues import view_queues
from hybrid_executor.states import State

_WITHOUT_POD = (State.SUBMITTED, State.LAUNCHING)


@dataclass(frozen=True, kw_only=True)
class QueueDemand:
    """One queue of workers.

    :ivar value: slots that are needed now: everything that has not ended.
    :ivar age: seconds for which the first has waited.
    """

    value: int = 0
    waiting: int = 0
    running: int = 0
    age: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ClusterDemand:
    """One cluster.

    :ivar value: pods that are still to be created. At least 1 while an attempt is live: an agent has to watch its pod.
    :ivar waiting: pods that are still to be created. :ivar live: all attempts that have not ended.
    """

    value: int = 0
    waiting: int = 0
    live: int = 0


@dataclass(frozen=True, kw_only=True)
class Demand:
    """All queues and clusters that have attempts; the others have none."""

    queues: Mapping[str, QueueDemand] = field(default_factory=dict)
    clusters: Mapping[str, ClusterDemand] = field(default_factory=dict)


def count_demand(facts: Facts, settings: Settings) -> Demand:
    """Return the demand at the moment of ``facts``."""
    # Attempts in a state of a newer release, and lost ones, neither wait nor run. They count all the same.
    needed = Counter(record.queue for record in facts.records if record.pool == "celery")
    queues = {
        view.name: QueueDemand(value=needed[view.name], waiting=view.depth, running=view.running, age=view.oldest_age)
        for view in view_queues(facts, settings)
        if view.pool == "celery"
    }
    pods = [record for record in facts.records if record.pool == "kubernetes"]
    live = Counter(record.cluster for record in pods)
    waiting = Counter(record.cluster for record in pods if record.state in _WITHOUT_POD)
    clusters = {
        name: ClusterDemand(value=max(1, waiting[name]), waiting=waiting[name], live=count)
        for name, count in live.items()
    }
    return Demand(queues=queues, clusters=clusters)
