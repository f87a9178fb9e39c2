"""Which pods' tasks have started: only Airflow's database knows it, and agents need it to launch at the right rate.

A pod runs long before its task does: it first loads Airflow, and then asks the API server whether it may start. Pods in
that state slow each other down, so agents limit how many there are at once.
"""

from __future__ import annotations

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.states import State

_POOL = "kubernetes"
_LOOK_EVERY_SECONDS = 1.0
_REPORT_EVERY_SECONDS = 10.0
_LOOK_FOR_SECONDS = 150.0
_MOST = 500
_WAITS = ("queued", "scheduled")
_COMPLAINT = "starts"


class StartReports:
    """Tells the agents which tasks have started: at most one query a second, and none while nothing starts."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: set[AttemptId] = set()
        self._look_timer = Timer(_LOOK_EVERY_SECONDS, context.clock)
        self._report_timer = Timer(_REPORT_EVERY_SECONDS, context.clock)

    def tell(self) -> None:
        """Look, and tell the agents, when the timers are due.

        :raises StoreUnavailable: Redis could not be asked; the agents are told the next time.
        """
        if not self._look_timer.is_due() or not self._context.ledger.count(_POOL):
            return
        self._look_timer.restart()
        now = self._context.clock()
        if self._report_timer.is_due():
            for cluster in self._context.settings.clusters:
                self._context.store.starts.report(cluster)
            self._report_timer.restart()
        starting = [t for t in self._context.ledger if t.pool == _POOL and t.state is State.RUNNING]
        self._told.intersection_update([t.attempt for t in starting])
        unsure = [t for t in starting if t.attempt not in self._told and now - t.since < _LOOK_FOR_SECONDS][:_MOST]
        started = self._started(unsure) if unsure else []
        for cluster in self._context.settings.clusters:
            attempts = [t.attempt for t in started if self._context.settings.cluster_of_profile(t.profile) == cluster]
            if attempts:
                self._context.store.starts.started(cluster, attempts)
        self._told.update(t.attempt for t in started)

    def _started(self, unsure: list[Tracked]) -> list[Tracked]:
        try:
            rows = compat.read_tasks(t.workload_id for t in unsure if t.kind == "task")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the rate of launches is no reason to disturb a heartbeat
            words = "Which tasks have started cannot be read from Airflow's database now: %s"
            self._context.complaints.report(_COMPLAINT, words, error, cause=type(error).__qualname__)
            return []
        self._context.complaints.settle(_COMPLAINT, "Which tasks have started can be read again")
        # Only tasks have a row in the database that says it.
        return [
            t for t in unsure if t.kind != "task" or (row := rows.get(t.workload_id)) is None or row.state not in _WAITS
        ]
