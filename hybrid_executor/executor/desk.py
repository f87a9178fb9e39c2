"""What the parts of one running executor share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hybrid_executor.config import Settings
from hybrid_executor.events import OwnerId
from hybrid_executor.executor.ledger import Ledger, Tracked
from hybrid_executor.executor.outage import Outage
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Record, Store, Submission

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteTask


class RecordedPool(Protocol):
    """A pool whose attempts have records."""

    name: str

    @property
    def has_own_broker(self) -> bool:
        """Messages go to a broker that is not the store's Redis, after the record."""

    def list_key(self, queue: str) -> str:
        """Return the broker list on the store's Redis that work of ``queue`` goes to, "" for none."""

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to submit ``work``; raise TaskRejected where it cannot be run."""

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Send the messages of recorded work to the pool's own broker; return what it did not take."""

    def take_refused(self) -> list[tuple[Work, str]]:
        """Return, once, the work that the pool's own broker will never take, with the reasons."""

    def unsend(self, attempts: Attempts, record: Record, payload: str) -> bool:
        """Take back what was handed out for an attempt that has not started; return whether it was there."""

    def lost(self, attempts: Attempts, records: Sequence[Record]) -> list[Record]:
        """Return those of submitted records that no worker has whose message certainly waits in no queue."""

    def close(self) -> None:
        """Give up the connection to the pool's own broker, where it has one."""


@dataclass(kw_only=True)
class Desk:
    """One scheduler's side of the store.

    :ivar report: tells Airflow that an attempt ended (or, for callbacks, started), with words for a person.
    :ivar make_workloads: returns workloads with fresh tokens for tasks that Airflow still has as queued, by task id; an
        error in the place of one that cannot be made.
    """

    settings: Settings
    store: Store
    owner: OwnerId
    pools: Mapping[str, RecordedPool]
    default_queue: str
    report: Callable[[Tracked, State, str], None]
    make_workloads: Callable[[list[str]], dict[str, ExecuteTask | Exception]]
    ledger: Ledger = field(default_factory=Ledger)
    outage: Outage = field(default_factory=Outage)

    def __post_init__(self) -> None:
        self.outage.prove = self.store.check_writes

    def fail(self, tracked: Tracked, reason: str) -> None:
        """End an attempt that cannot go on, in its record and for Airflow.

        :raises StoreUnavailable: Redis could not be asked; Airflow has not been told either.
        """
        fields = {"reason": reason, "category": "rejected"}
        self.store.attempts.advance(
            Change(attempt=tracked.attempt, to=State.FAILED, raises_generation=True, delete_pod=True, fields=fields)
        )
        self.settle(tracked, State.FAILED, reason)

    def settle(self, tracked: Tracked, state: State, reason: str) -> None:
        """Tell Airflow how an attempt ended, and forget it."""
        self.report(tracked, state, reason)
        self.ledger.remove(tracked.attempt)

    def close(self) -> None:
        """Give up all connections."""
        for pool in self.pools.values():
            pool.close()
        self.store.close()

    def pool_of(self, work: Work) -> RecordedPool:
        """Return the pool that the route of the work's queue names."""
        return self.pools[self.settings.routes.find(work.queue).pool]
