"""Numbers about the whole instance (what waits, what runs, who is alive), sent by one scheduler for all.

The schedulers share a lease, and its holder counts. It reads a page of records in each loop, so that the heartbeat
stays short however many attempts there are. It sends when it has seen all of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.context import Context
from hybrid_executor.fairness import Shares
from hybrid_executor.metrics import Metric
from hybrid_executor.metrics import table as metric
from hybrid_executor.routing import Routes
from hybrid_executor.states import State
from hybrid_executor.store import LiveAttempt, Member

LEASE = "metrics"
LEASE_SECONDS = 30.0
_EVERY_SECONDS = 15.0
_RENEW_SECONDS = 10.0
Series = dict[tuple[Metric, tuple[tuple[str, str], ...]], float]
"""Values of gauges, by metric and tags."""


@dataclass
class Count:
    """Live attempts counted so far: how many wait and run, and since when the oldest waits, by pool and queue."""

    waiting: Counter[tuple[str, str]] = field(default_factory=Counter)
    running: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, attempts: Iterable[LiveAttempt]) -> None:
        """Count attempts; one that was counted before is not counted again."""
        for attempt in attempts:
            if attempt.id in self.seen:
                continue
            self.seen.add(attempt.id)
            place = (attempt.pool, attempt.queue)
            if attempt.state in (State.RUNNING, State.LOST):
                self.running[place] += 1
                continue
            self.waiting[place] += 1
            if attempt.submitted_at:
                self.oldest[place] = min(self.oldest.get(place, attempt.submitted_at), attempt.submitted_at)

    def series(self, shares: Shares, *, now: int) -> Series:
        """Return the gauges of all queues that have attempts.

        :param shares: of the queues.
        :param now: milliseconds on the Redis server's clock.
        """
        found: Series = {}
        for pool, queue in {*self.waiting, *self.running}:
            place, tags = (pool, queue), (("pool", pool), ("queue", queue))
            found[metric.QUEUE_SHARE, (("queue", queue),)] = shares.of(queue)
            found[metric.QUEUE_DEPTH, tags] = self.waiting[place]
            found[metric.QUEUE_RUNNING, tags] = self.running[place]
            found[metric.QUEUE_AGE, tags] = max(0, now - self.oldest[place]) / 1000 if place in self.oldest else 0
        return found


def series_of_members(workers: Iterable[Member], agents: Iterable[Member]) -> Series:
    """Return the gauges about those that are alive."""
    alive = [worker for worker in workers if worker.is_alive]
    agents = [agent for agent in agents if agent.is_alive]
    found: Series = {(metric.WORKERS, ()): len(alive), (metric.AGENTS, ()): len(agents)}
    for worker in alive:
        if worker.fields.get("state") not in ("running", "deaf"):
            continue
        for queue in filter(None, worker.fields.get("queues", "").split(",")):
            _add(found, metric.QUEUE_WORKERS, 1, queue=queue)
            _add(found, metric.QUEUE_SLOTS, _number(worker.fields.get("concurrency", "")), queue=queue)
    for agent in agents:
        for cluster, namespaces in _mapping(agent.fields.get("waiting", "")).items():
            for namespace, reasons in namespaces.items():
                for reason, count in reasons.items():
                    tags = {"cluster": cluster, "kube_namespace": namespace, "reason": reason}
                    _add(found, metric.LAUNCHES_WAITING, count, **tags)
    return found


def series_of_targets(routes: Routes, counts: Mapping[str, int]) -> Series:
    """Return the gauges about the targets of elastic routes.

    :param counts: how many attempts are at each place.
    """
    found: Series = {}
    for route in routes.routes:
        for target in route.targets if route.is_elastic else ():
            tags = (("route", route.pattern), ("target", target.name))
            found[metric.TARGET_USED, tags] = counts.get(route.place(target), 0)
            if target.most is not None:
                found[metric.TARGET_LIMIT, tags] = target.most
    return found


class QueueReport:
    """Counts and sends, as long as this scheduler holds the lease and metrics are on."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._renewal = Timer(_RENEW_SECONDS, context.clock)
        self._start = Timer(_EVERY_SECONDS, context.clock)
        self._is_holder = False
        self._to_read: list[tuple[str, int]] = []
        self._count: Count | None = None
        self._sent: Series = {}

    def step(self) -> None:
        """Read one page, and send after the last one. Takes two round trips, or none.

        :raises StoreUnavailable: Redis could not be asked; the next call begins to count again.
        """
        if not self._context.metrics.is_on or not self._holds_lease():
            return
        if self._count is None and self._start.is_due():
            self._start.restart()
            self._count, self._to_read = Count(), [(pool, 0) for pool in self._context.pools]
        if self._count is None:
            return
        count, self._count = self._count, None
        if self._to_read:
            pool, cursor = self._to_read.pop()
            cursor, attempts = self._context.store.census.page(pool, cursor=cursor)
            count.add(attempts)
            if cursor:
                self._to_read.append((pool, cursor))
        if self._to_read:
            self._count = count
        else:
            self._send(count)

    def _holds_lease(self) -> bool:
        if self._renewal.is_due():
            self._renewal.restart()
            self._is_holder = False
            leases = self._context.store.leases
            self._is_holder = leases.take(LEASE, holder=self._context.owner, seconds=LEASE_SECONDS) is not None
            if not self._is_holder:
                self._count, self._sent = None, {}
        return self._is_holder

    def _send(self, count: Count) -> None:
        store, metrics = self._context.store, self._context.metrics
        members = series_of_members(store.presence.members("worker"), store.presence.members("agent"))
        settings = self._context.settings
        places = [route.place(target) for route in settings.routes.routes for target in route.targets]
        targets = series_of_targets(settings.routes, store.places.counts(filter(None, places)))
        found = {**count.series(settings.shares, now=store.view.now()), **members, **targets}
        # Where nothing is left, StatsD would go on showing the last value.
        for key in self._sent.keys() - found.keys():
            found[key] = 0
        for (gauge, tags), value in found.items():
            metrics.gauge(gauge, value, **dict(tags))
        self._sent = {key: value for key, value in found.items() if value}


def _add(found: Series, gauge: Metric, value: float, **tags: str) -> None:
    key = (gauge, tuple(tags.items()))
    found[key] = found.get(key, 0) + value


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _mapping(text: str) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """Return what an agent announced; nothing where it cannot be read, such as that of another release."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if _is_nested(found, depth=2) else {}


def _is_nested(value: object, *, depth: int) -> bool:
    if not isinstance(value, dict):
        return False
    if not depth:
        return all(isinstance(item, int) for item in value.values())
    return all(_is_nested(item, depth=depth - 1) for item in value.values())
