"""Repairs on a timer, made by one agent of the instance at a time. They fix what no event and no list would find.

Promises: it acts only on what has not changed for a while by its own clock. Every repair may be done twice.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from hybrid_executor.agent.launch.entries import LAUNCHABLE
from hybrid_executor.agent.leases import KeptLease
from hybrid_executor.complaints import REDIS, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store

log = logging.getLogger(__name__)

POOL = "kubernetes"
STUCK_SECONDS = 30.0
KEPT_EVENTS = 10_000
_EVERY_SECONDS = 12.0
_SILENT_CONSUMER_SECONDS = 3600.0
_BATCH = 500
_LOOK_SECONDS = 0.5
_HAS_POD = frozenset({State.PENDING, State.RUNNING, State.LOST})


class StuckLaunches:
    """Finds attempts that have waited for their pod without a change. Its only effect is what it remembers."""

    def __init__(self, *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._stuck_seconds = stuck_seconds
        self._since: dict[tuple[AttemptId, int, State], float] = {}

    def update(self, records: Iterable[Record], *, now: float) -> list[Record]:
        """Return those of all live records that have waited too long for their pod."""
        waiting = {(record.id, record.generation, record.state): record for record in records if _waits(record)}
        self._since = {key: self._since.get(key, now) for key in waiting}
        return [record for key, record in waiting.items() if now - self._since[key] >= self._stuck_seconds]


class Reaper:
    """Repairs one instance while this agent holds the lease.

    :param event_seconds: how long events stay readable.
    :param clusters: clusters whose launch streams it repairs.
    :param on_pod_place: called with cluster and namespace of each live record that has a pod.
    """

    def __init__(
        self,
        *,
        store: Store,
        agent: str,
        lease: KeptLease,
        complaints: Complaints,
        event_seconds: float,
        clusters: Sequence[str] = (),
        on_pod_place: Callable[[str, str], None] = lambda *_: None,
        every_seconds: float = _EVERY_SECONDS,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        self._store = store
        self._agent = agent
        self._lease = lease
        self._complaints = complaints
        self._event_seconds = event_seconds
        self._clusters = tuple(clusters)
        self._on_pod_place = on_pod_place
        self._every_seconds = every_seconds
        self._sweep_cursor = 0
        self._is_asked = threading.Event()
        self._stuck = StuckLaunches(stuck_seconds=stuck_seconds)

    def repair_soon(self) -> None:
        """Repair now, if this agent holds the lease."""
        self._is_asked.set()

    def run(self, stop: threading.Event) -> None:
        """Repair until ``stop``."""
        while not stop.is_set():
            if self._lease.is_held:
                try:
                    self.repair(now=time.monotonic())
                except StoreUnavailable as error:
                    self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
            self._wait(stop, self._every_seconds * (0.9 + 0.2 * random.random()))

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stop.is_set() and not self._is_asked.is_set() and time.monotonic() < until:
            stop.wait(min(_LOOK_SECONDS, seconds))
        self._is_asked.clear()

    def repair(self, *, now: float) -> None:
        """Do every repair once.

        :raises StoreUnavailable: Redis could not be asked.
        """
        self._do("sweep the set of live attempts", self._sweep)
        self._do("look after launches", lambda: self._look_after_launches(now))
        for cluster in self._clusters:
            launches = self._store.launches(cluster, consumer=self._agent)
            self._do("forget silent agents", partial(launches.forget_silent, seconds=_SILENT_CONSUMER_SECONDS))
        trim = partial(self._store.events.trim, keep_entries=KEPT_EVENTS, keep_seconds=self._event_seconds)
        self._do("trim the events", trim)

    @staticmethod
    def _do(name: str, step: Callable[[], object]) -> None:
        """Do one repair. If it fails, the others are done all the same."""
        try:
            step()
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("Could not %s; trying again with the next repair", name)

    def _sweep(self) -> None:
        self._sweep_cursor = self._store.attempts.sweep(POOL, cursor=self._sweep_cursor)

    def _look_after_launches(self, now: float) -> None:
        waiting, places = self._read_live()
        for place in places:
            self._on_pod_place(*place)
        for cluster, records in _by_cluster(self._stuck.update(waiting, now=now)).items():
            self._do(f"launch again in cluster {cluster}", partial(self._put_again, cluster, records))

    def _read_live(self) -> tuple[list[Record], set[tuple[str, str]]]:
        """Return records that wait for their pod, and where pods are."""
        live = list(self._store.attempts.live(POOL))
        waiting: list[Record] = []
        places: set[tuple[str, str]] = set()
        for start in range(0, len(live), _BATCH):
            batch = live[start : start + _BATCH]
            for record in filter(None, self._store.attempts.records(batch)):
                if _waits(record):
                    waiting.append(record)
                if record.namespace and record.state in _HAS_POD:
                    places.add((record.cluster, record.namespace))
        return waiting, places

    def _put_again(self, cluster: str, records: Sequence[Record]) -> None:
        stream = self._store.launches(cluster, consumer=self._agent)
        waiting = stream.launches_waiting()
        stream.drop_lost()
        for record in records:
            if record.id not in waiting:
                stream.put_again(record.id, generation=record.generation)
                log.warning("No agent was launching %s: put it on the launch stream again", record.name)


def _waits(record: Record) -> bool:
    """Return whether an agent has to create the record's pod, or to hand the workload over to one that waits.

    Of an attempt that is to leave its target, an agent has to find out whether its pod was created. Once it is certain
    that there is none, its owner moves it.
    """
    if record.leaving and record.state is State.SUBMITTED:
        return False
    is_under_way = record.state in LAUNCHABLE or (record.state is State.PENDING and bool(record.hand_over_pod))
    return is_under_way and bool(record.cluster)


def _by_cluster(records: Iterable[Record]) -> Mapping[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.cluster, []).append(record)
    return found
