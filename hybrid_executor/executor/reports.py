"""What Airflow's scheduler is told of its workloads, through the buffers that every executor has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hybrid_executor import compat
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.pools.pool import LocalEvent
from hybrid_executor.states import State

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor

    from hybrid_executor.compat import WorkloadKey, WorkloadState

FAILED_EVENT = "hybrid executor: attempt failed"
"""The task event log's event that holds why an attempt failed."""


class Reports:
    """Writes to an executor's queues, running set, event buffer and task event log."""

    def __init__(self, executor: BaseExecutor) -> None:
        self._executor = executor

    def taken(self, key: WorkloadKey) -> None:
        """A workload does not wait in the executor any more."""
        compat.drop_queued(self._executor, key)

    def running(self, key: WorkloadKey) -> None:
        """An attempt of this key is under way, from its submission on."""
        self._executor.running.add(key)

    def superseded(self, tracked: Tracked) -> None:
        """An attempt is under way that is not the one that Airflow waits for."""
        self._executor.running.discard(tracked.key)

    def assigned(self, tracked: Tracked) -> None:
        """A task got an attempt id that Airflow is to save."""
        state = compat.event_states(tracked.key)["queued"]
        self._put(tracked.key, state, tracked.attempt, tracked.workload_run_id)

    def changed(self, tracked: Tracked, state: State, reason: str) -> None:
        """An attempt ended, or a callback started. What a superseded attempt does is not told."""
        if tracked.is_superseded:
            return
        if state.is_terminal:
            self._executor.running.discard(tracked.key)
        if state is State.SUCCEEDED and not reason:
            # Airflow shows this only where the task itself has not reported its end.
            where = f"on {tracked.holder} " if tracked.holder else ""
            reason = (
                f"The attempt {where}ended with exit code 0, but its task never reported its end: it was marked or "
                "cleared while it ran, or its process ended too early"
            )
        if state is not State.REVOKED:
            self._tell(tracked.key, state, reason, tracked.workload_run_id)

    def explained(self, tracked: Tracked, reason: str) -> None:
        """It is known why a task died that Airflow has failed by itself."""
        if not tracked.is_superseded and compat.is_task_key(tracked.key):
            self._executor.log_task_event(event=FAILED_EVENT, extra=reason, ti_key=tracked.key)

    def refused(self, key: WorkloadKey, reason: str, workload_run_id: str) -> None:
        """A workload cannot be run as it is described."""
        self.taken(key)
        self._tell(key, State.FAILED, reason, workload_run_id)

    def local(self, events: Iterable[LocalEvent]) -> None:
        """Workloads that run beside the scheduler changed."""
        for event in events:
            if event.is_end:
                self._executor.running.discard(event.key)
            self._put(compat.event_key(event.key), event.state, event.info, event.workload_run_id)

    def _tell(self, key: WorkloadKey, state: State, info: str, workload_run_id: str) -> None:
        if state is State.FAILED and compat.is_task_key(key):
            self._executor.log_task_event(event=FAILED_EVENT, extra=info, ti_key=key)
        self._put(compat.event_key(key), compat.event_states(key)[state.value], info or None, workload_run_id)

    def _put(self, key: WorkloadKey, state: WorkloadState, info: object, workload_run_id: str) -> None:
        newer: dict[str, Any] = {"workload_run_id": workload_run_id} if workload_run_id else {}
        self._executor.change_state(key, state, info, remove_running=False, **newer)
