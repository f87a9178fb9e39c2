"""What the executor asks of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hybrid_executor.pools.work import Work
from hybrid_executor.store import Record, Store, Submission

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload, WorkloadKey, WorkloadState


class RecordedPool(Protocol):
    """A pool whose attempts have records in Redis, so that any scheduler can adopt them."""

    name: str

    @property
    def has_own_broker(self) -> bool:
        """Messages go to a broker that is not the store's Redis, after the record."""

    def list_key(self, queue: str) -> str:
        """Return the broker list on the store's Redis that work of ``queue`` goes to, "" for none."""

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to submit ``work``; raise TaskRejected where it cannot be run."""

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Send the messages of recorded work to the pool's own broker; return what it did not accept."""

    def take_refused(self) -> list[tuple[Work, str]]:
        """Return, once, the work that the pool's own broker will never accept, with the reasons."""

    def unsend(self, store: Store, record: Record, payload: str) -> bool:
        """Remove the message of an attempt that has not started; return whether it was still in its queue."""

    def oldest_waiting(self, store: Store, queue: str) -> float:
        """Return when the next message of a queue was submitted; messages of later submissions are in it still.

        :return: milliseconds on the Redis server's clock; infinity where the queue is empty or nothing is known.
        """

    def lost(self, store: Store, records: Sequence[Record]) -> list[Record]:
        """Return those of submitted records that no worker has and whose message is certainly in no queue."""

    def close(self) -> None:
        """Close the connection to the pool's own broker, where it has one."""


@dataclass(frozen=True, kw_only=True)
class LocalEvent:
    """What happened to a workload of a local pool.

    :ivar key: Airflow's key of the workload.
    :ivar state: Airflow's own state.
    :ivar is_end: the workload has ended and its slot is free.
    :ivar workload_run_id: Airflow's id of this one queueing of the key, "" where it is not known.
    """

    key: WorkloadKey
    state: WorkloadState
    info: object
    is_end: bool
    workload_run_id: str


class UnrecordedPool(Protocol):
    """A pool that runs workloads beside the scheduler. It needs no Redis, and ends with its scheduler."""

    name: str

    def start(self) -> None:
        """Start its processes."""

    def submit(self, key: WorkloadKey, workload: AirflowWorkload) -> None:
        """Queue one workload; it starts at the next :meth:`sync`."""

    def sync(self) -> list[LocalEvent]:
        """Start what waits, and return what happened since the last call."""

    def __len__(self) -> int:
        """Return how many workloads wait or run."""

    def end(self) -> list[LocalEvent]:
        """Wait until the workloads have ended, and return what happened."""
