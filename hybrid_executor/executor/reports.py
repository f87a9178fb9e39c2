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

FAILED_EVENT = "hybrid executor: attempt failed"
"""The task event log's event that holds why an attempt failed."""


class Reports:
    """Writes to an executor's queues, running set, event buffer and task event log."""

    def __init__(self, executor: BaseExecutor) -> None:
        self._executor = executor

    def taken(self, key: Any) -> None:
        """A workload does not wait in the executor any more."""
        compat.drop_queued(self._executor, key)

    def running(self, key: Any) -> None:
        """An attempt of this key is under way, from its submission on."""
        self._executor.running.add(key)

    def assigned(self, tracked: Tracked) -> None:
        """A task got an attempt id that Airflow is to save."""
        self._put(tracked.key, compat.event_states(tracked.key)["queued"], tracked.attempt)

    def changed(self, tracked: Tracked, state: State, reason: str) -> None:
        """An attempt ended, or a callback started. What a superseded attempt does is not told."""
        if tracked.is_superseded:
            return
        if state.is_terminal:
            self._executor.running.discard(tracked.key)
        if state is State.SUCCEEDED and not reason:
            # Airflow shows this only where the task itself has not reported its end.
            where = f"on {tracked.holder} " if tracked.holder else ""
            reason = f"The attempt {where}ended with exit code 0, but its task never reported its end"
        if state is not State.REVOKED:
            self._tell(tracked.key, state, reason)

    def refused(self, key: Any, reason: str) -> None:
        """A workload cannot be run as it is described."""
        self.taken(key)
        self._tell(key, State.FAILED, reason)

    def local(self, events: Iterable[LocalEvent]) -> None:
        """Workloads that run beside the scheduler changed."""
        for event in events:
            if event.is_end:
                self._executor.running.discard(event.key)
            told: Any = compat.event_key(event.key)
            self._executor.event_buffer[told] = event.state, event.info

    def _tell(self, key: Any, state: State, info: str) -> None:
        if state is State.FAILED and compat.is_task_key(key):
            self._executor.log_task_event(event=FAILED_EVENT, extra=info, ti_key=key)
        self._put(compat.event_key(key), compat.event_states(key)[state.value], info or None)

    def _put(self, key: Any, state: Any, info: str | None) -> None:
        self._executor.change_state(key, state, info, remove_running=False)
