"""Which pods' tasks have started: only Airflow's database knows, and agents need it to launch at the right pace.

A pod runs long before its task does: it loads Airflow first, and then asks the API server for leave. Pods that are in
that state slow each other down, so agents let only so many be there at once.
"""

from __future__ import annotations

import logging
import time

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.states import State

log = logging.getLogger(__name__)

_POOL = "kubernetes"
_LOOK_EVERY_SECONDS = 1.0
_REPORT_EVERY_SECONDS = 10.0
_LOOK_FOR_SECONDS = 150.0
_MOST = 500
_WAITS = ("queued", "scheduled")


class StartReports:
    """Tells the agents which tasks have started: at most one query a second, and none while nothing starts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told: set[AttemptId] = set()
        self._next_look = self._next_report = 0.0

    def tell(self) -> None:
        """Look and tell, where it is time.

        :raises StoreUnavailable: Redis went away; it is told the next time.
        """
        now = time.monotonic()
        if now < self._next_look or not self._desk.ledger.count(_POOL):
            return
        self._next_look = now + _LOOK_EVERY_SECONDS
        if now >= self._next_report:
            for cluster in self._desk.settings.clusters:
                self._desk.store.starts.report(cluster)
            self._next_report = now + _REPORT_EVERY_SECONDS
        starting = [t for t in self._desk.ledger if t.pool == _POOL and t.state is State.RUNNING]
        self._told.intersection_update([t.attempt for t in starting])
        unsure = [t for t in starting if t.attempt not in self._told and now - t.since < _LOOK_FOR_SECONDS][:_MOST]
        started = self._started(unsure) if unsure else []
        for cluster in self._desk.settings.clusters:
            attempts = [t.attempt for t in started if self._desk.settings.cluster_of(t.queue) == cluster]
            if attempts:
                self._desk.store.starts.started(cluster, attempts)
        self._told.update(t.attempt for t in started)

    def _started(self, unsure: list[Tracked]) -> list[Tracked]:
        try:
            rows = compat.read_tasks(t.task_id for t in unsure if t.kind == "task")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the pace of launches is no reason to disturb a heartbeat
            log.warning("Which tasks have started cannot be read from Airflow's database now: %s", error)
            return []
        # Only tasks have a row that tells.
        return [
            t for t in unsure if t.kind != "task" or (row := rows.get(t.task_id)) is None or row.state not in _WAITS
        ]
