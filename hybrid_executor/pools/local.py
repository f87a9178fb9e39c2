"""The local pool: workloads run in processes of Airflow's own LocalExecutor, beside the scheduler.

They end with their scheduler and cannot be adopted by another; so they have no records in Redis.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from hybrid_executor.pools.pool import LocalEvent


class LocalExecutor(Protocol):
    """What this pool needs of Airflow's LocalExecutor."""

    def start(self) -> None: ...
    def queue_workload(self, workload: Any, session: Any) -> None: ...
    def heartbeat(self) -> None: ...
    def get_event_buffer(self) -> Mapping[Any, tuple[Any, Any]]: ...
    def end(self) -> None: ...


class LocalPool:
    """Gives workloads to a LocalExecutor and returns its events."""

    name = "local"

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor
        self._keys: set[Hashable] = set()

    def start(self) -> None:
        """Start the worker processes."""
        self._executor.start()

    def submit(self, key: Hashable, workload: Any) -> None:
        """Queue one workload; it starts at the next :meth:`sync`."""
        self._keys.add(key)
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
        for key, (state, info) in self._executor.get_event_buffer().items():
            is_end = str(getattr(state, "value", state)) != "running"
            if is_end:
                self._keys.discard(key)
            events.append(LocalEvent(key=key, state=state, info=info, is_end=is_end))
        return events
