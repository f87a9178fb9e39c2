"""The local pool: work runs in processes of Airflow's own LocalExecutor, beside the scheduler.

It dies with its scheduler and cannot be adopted by another; so it has no records in Redis.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hybrid_executor import compat

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


class LocalEvent(NamedTuple):
    """What happened to a workload. ``workload_run_id`` says to which queueing of its key, "" for not known."""

    key: WorkloadKey
    state: WorkloadState
    info: object
    workload_run_id: str


class LocalPool:
    """Hands work to a LocalExecutor and brings its events back."""

    name = "local"

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor
        self._keys: dict[WorkloadKey, WorkloadKey] = {}

    def start(self) -> None:
        """Start the worker processes."""
        self._executor.start()

    def submit(self, key: WorkloadKey, workload: AirflowWorkload) -> None:
        """Queue one workload; it starts at the next :meth:`sync`."""
        self._keys[compat.key_in(self._executor, workload, key)] = key
        self._executor.queue_workload(workload, session=None)

    def sync(self) -> list[LocalEvent]:
        """Start what waits and return what happened since the last call."""
        self._executor.heartbeat()
        happened = []
        for own_key, event in self._events():
            if str(getattr(event.state, "value", event.state)) != "running" and not self._has(own_key):
                self._keys.pop(own_key, None)
            happened.append(event)
        return happened

    def _has(self, own_key: WorkloadKey) -> bool:
        """Return whether it still waits or runs: a deferred task may resume before its first process has ended."""
        return own_key in self._executor.running or compat.is_queued(self._executor, own_key)

    def __len__(self) -> int:
        """Number of workloads that wait or run."""
        return len(self._keys)

    def __contains__(self, key: WorkloadKey) -> bool:
        return key in self._keys.values()

    def end(self) -> list[LocalEvent]:
        """Let what runs finish, and return what happened."""
        self._executor.end()
        return [event for _, event in self._events()]

    def _events(self) -> list[tuple[WorkloadKey, LocalEvent]]:
        """Return the executor's events, each with the key that the executor itself has for it."""
        return [
            (own_key, LocalEvent(self._keys.get(own_key, own_key), *compat.unpack_event(value)))
            for own_key, value in self._executor.get_event_buffer().items()
        ]
