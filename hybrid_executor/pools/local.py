"""The local pool: workloads run in processes of Airflow's own LocalExecutor, beside the scheduler.

They end with their scheduler and cannot be adopted by another; so they have no records in Redis.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hybrid_executor import compat
from hybrid_executor.pools.pool import LocalEvent

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload, WorkloadKey, WorkloadState


class LocalExecutor(Protocol):
    """What this pool needs of Airflow's LocalExecutor."""

    @property
    def running(self) -> Collection[WorkloadKey]: ...

    def start(self) -> None: ...
    def queue_workload(self, workload: Any, session: Any) -> None: ...
    def heartbeat(self) -> None: ...
    def get_event_buffer(self) -> Mapping[WorkloadKey, Sequence[Any]]: ...
    def end(self) -> None: ...


class LocalPool:
    """Gives workloads to a LocalExecutor and returns its events."""

    name = "local"

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor
        # By the executor's own key of a workload, which is not always the scheduler's.
        self._keys: dict[WorkloadKey, WorkloadKey] = {}

    def start(self) -> None:
        """Start the worker processes."""
        self._executor.start()

    def submit(self, key: WorkloadKey, workload: AirflowWorkload) -> None:
        """Queue one workload; it starts at the next :meth:`sync`."""
        self._keys[compat.key_in(self._executor, workload, key)] = key
        self._executor.queue_workload(workload, session=None)

    def sync(self) -> list[LocalEvent]:
        """Start what waits, and return what happened since the last call."""
        self._executor.heartbeat()
        return self._take_events()

    def __len__(self) -> int:
        """Return how many workloads wait or run."""
        return len(self._keys)

    def end(self) -> list[LocalEvent]:
        """Wait until the workloads have ended, and return what happened."""
        self._executor.end()
        return self._take_events()

    def _take_events(self) -> list[LocalEvent]:
        events = []
        for own_key, value in self._executor.get_event_buffer().items():
            state, info, workload_run_id = compat.unpack_event(value)
            key = self._keys.get(own_key, own_key)
            if not _is_running(state) and not self._has(own_key):
                self._keys.pop(own_key, None)
            is_end = own_key not in self._keys
            events.append(LocalEvent(key=key, state=state, info=info, is_end=is_end, workload_run_id=workload_run_id))
        return events

    def _has(self, own_key: WorkloadKey) -> bool:
        """Return whether it still waits or runs: a deferred task may resume before its first process has ended."""
        return own_key in self._executor.running or compat.is_queued(self._executor, own_key)


def _is_running(state: WorkloadState) -> bool:
    return str(getattr(state, "value", state)) == "running"
