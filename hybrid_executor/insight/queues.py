"""The queues: what waits and runs in each, for how long, and who serves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_executor.compat import QueuedCount
from hybrid_executor.config import Settings
from hybrid_executor.insight.facts import POOLS, Facts, read_facts
from hybrid_executor.insight.targets import goes_on
from hybrid_executor.insight.unserved import find_unserved, place_of
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store

_BEFORE_START = (State.SUBMITTED, State.LAUNCHING, State.PENDING)


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """One queue.

    :ivar depth: how many attempts wait for a worker, or for their pod's start.
    :ivar messages: how many messages the broker's list holds; ``None`` where the broker is not the store's Redis.
    :ivar queued: task instances that Airflow has queued and that no scheduler has submitted yet; told of the pool of
        its route's first target.
    :ivar oldest_age: seconds for which the first of the waiting attempts has waited, 0 where none waits.
    :ivar running: how many attempts run.
    :ivar served_by: the living workers of the queue, or the living agents of its cluster.
    :ivar slots: how many attempts its workers may run at the same time; they may share them with other queues.
    :ivar free: how many of these slots are free.
    :ivar share: of scarce slots, beside those of the other queues.
    :ivar advice: what to do where nobody serves it, "" otherwise.
    """

    name: str
    pool: str
    cluster: str = ""
    depth: int = 0
    messages: int | None = None
    queued: int = 0
    oldest_age: float = 0.0
    running: int = 0
    served_by: tuple[str, ...] = ()
    slots: int = 0
    free: int = 0
    share: float = 1.0
    advice: str = ""


def read_queues(store: Store, settings: Settings) -> list[QueueView]:
    """Return the queues that have attempts or workers, by name.

    :raises StoreUnavailable: Redis could not be asked.
    """
    facts = read_facts(store, settings)
    return view_queues(facts, settings, messages=read_messages(store, settings, facts))


def read_messages(store: Store, settings: Settings, facts: Facts) -> dict[str, int]:
    """Return how many messages each Celery queue's list holds; empty where the broker is not the store's Redis."""
    if not settings.broker_is_store:
        return {}
    prefix = settings.broker.key_prefix
    queues = {record.queue for record in facts.records if record.pool == "celery"}
    queues |= {queue for worker in facts.workers for queue in (*worker.queues, *worker.paused_queues)}
    lengths = store.broker_lists.lengths(prefix + queue for queue in sorted(queues))
    return {key.removeprefix(prefix): length for key, length in lengths.items()}


def view_queues(
    facts: Facts,
    settings: Settings,
    *,
    messages: Mapping[str, int] | None = None,
    queued: Sequence[QueuedCount] = (),
) -> list[QueueView]:
    """Return the queues; pure.

    :param messages: what :func:`read_messages` returns.
    :param queued: how many task instances Airflow's database has in the state queued.
    """
    by_queue: dict[tuple[str, str], list[Record]] = {}
    for record in facts.records:
        by_queue.setdefault((record.pool, record.queue), []).append(record)
    for worker in facts.workers:
        for queue in (*worker.queues, *worker.paused_queues) if worker.is_alive else ():
            by_queue.setdefault(("celery", queue), [])
    waiting = Counter(record.queue for record in facts.records if record.state in _BEFORE_START)
    in_airflow: dict[tuple[str, str], int] = {}
    for row in queued:
        pool = settings.routes.find(row.queue).pool
        if pool in POOLS:
            by_queue.setdefault((pool, row.queue), [])
            in_airflow[pool, row.queue] = max(0, row.count - waiting[row.queue])
    views = [
        _view(pool, name, records, facts, settings, messages or {}, in_airflow.get((pool, name), 0))
        for (pool, name), records in by_queue.items()
    ]
    return sorted(views, key=lambda view: (view.name, view.pool))


def _view(
    pool: str,
    name: str,
    records: Sequence[Record],
    facts: Facts,
    settings: Settings,
    messages: Mapping[str, int],
    in_airflow: int,
) -> QueueView:
    waiting = [record for record in records if record.state in _BEFORE_START]
    cluster = (records[0].cluster if records else settings.cluster_of(name)) if pool == "kubernetes" else ""
    workers = [worker for worker in facts.workers if worker.is_alive and name in worker.queues and pool == "celery"]
    agents = [agent for agent in facts.agents if agent.is_alive and cluster in agent.clusters and cluster]
    left = [record for record in waiting if not goes_on(settings, record)]
    places = [place_of(pool=pool, queue=name, cluster=cluster, state=record.state) for record in left]
    unserved = find_unserved(places, workers=facts.workers, agents=facts.agents)
    return QueueView(
        name=name,
        pool=pool,
        cluster=cluster,
        depth=len(waiting),
        messages=messages.get(name) if pool == "celery" else None,
        queued=in_airflow,
        oldest_age=round(max((facts.age(record.submitted_at) for record in waiting), default=0.0), 1),
        running=sum(record.state is State.RUNNING for record in records),
        served_by=(*(worker.name for worker in workers), *(agent.name for agent in agents)),
        slots=sum(worker.concurrency for worker in workers),
        free=sum(worker.free for worker in workers),
        share=settings.shares.of(name),
        advice=settings.words(f"{unserved[0].what}: {unserved[0].cure}") if unserved else "",
    )
