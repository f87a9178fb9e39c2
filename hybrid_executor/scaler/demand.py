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

    :ivar value: slots that are needed now: everything that has not ended and is on workers or would be.
    :ivar age: seconds for which the first has waited.
    :ivar elsewhere: attempts that are in pods only because no living worker served the queue when they came. They stay
        there, but tasks like them would come to workers.
    """

    value: int = 0
    waiting: int = 0
    running: int = 0
    age: float = 0.0
    elsewhere: int = 0


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
    elsewhere = _count_elsewhere(facts, settings)
    views = {view.name: view for view in view_queues(facts, settings) if view.pool == "celery"}
    queues = {}
    for name in (*views, *(queue for queue in elsewhere if queue not in views)):
        view = views.get(name)
        queues[name] = QueueDemand(
            value=needed[name] + elsewhere[name],
            waiting=view.depth if view else 0,
            running=view.running if view else 0,
            age=view.oldest_age if view else 0.0,
            elsewhere=elsewhere[name],
        )
    pods = [record for record in facts.records if record.pool == "kubernetes"]
    live = Counter(record.cluster for record in pods)
    waiting = Counter(record.cluster for record in pods if record.state in _WITHOUT_POD)
    clusters = {
        name: ClusterDemand(value=max(1, waiting[name]), waiting=waiting[name], live=count)
        for name, count in live.items()
    }
    return Demand(queues=queues, clusters=clusters)


def _count_elsewhere(facts: Facts, settings: Settings) -> Counter[str]:
    """Return by queue how many attempts are not on workers because no living worker serves the queue.

    At most as many as may be on workers. While a worker lives, there is none: it takes what comes.
    """
    served = {queue for worker in facts.workers if worker.is_alive for queue in worker.queues}
    found: Counter[str] = Counter()
    for record in facts.records:
        route = settings.routes.find(record.queue)
        first = route.targets[0]
        is_for_workers = first.is_served and (first.tries is None or record.try_number <= first.tries)
        if is_for_workers and record.pool != first.pool and record.queue not in served:
            found[record.queue] += 1
    for queue in found:
        most = settings.routes.find(queue).targets[0].most
        found[queue] = min(found[queue], most if most is not None else found[queue])
    return found
