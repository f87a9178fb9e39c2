"""The local pool: work runs in processes of Airflow's own LocalExecutor, beside the scheduler.

It dies with its scheduler and cannot be adopted by another; so it has no records in Redis.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol


class LocalExecutor(Protocol):
    """What this pool needs of Airflow's LocalExecutor."""

    running: Any

    def start(self) -> None: ...
    def queue_workload(self, workload: Any, session: Any) -> None: ...
    def heartbeat(self) -> None: ...
    def get_event_buffer(self) -> Mapping[Any, tuple[Any, Any]]: ...
    def end(self) -> None: ...


class LocalPool:
    """Hands work to a LocalExecutor and brings its events back."""

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

    def sync(self) -> list[tuple[Hashable, Any, Any]]:
        """Start what waits and return what happened since the last call, as (key, Airflow's state, info)."""
        self._executor.heartbeat()
        happened = []
        for key, (state, info) in self._executor.get_event_buffer().items():
            if str(getattr(state, "value", state)) != "running":
                self._keys.discard(key)
            happened.append((key, state, info))
        return happened

    def __len__(self) -> int:
        """Number of workloads that wait or run."""
        return len(self._keys)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def end(self) -> list[tuple[Hashable, Any, Any]]:
        """Let what runs finish, and return what happened."""
        self._executor.end()
        return [(key, state, info) for key, (state, info) in self._executor.get_event_buffer().items()]
