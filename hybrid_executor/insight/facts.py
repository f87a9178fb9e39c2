"""What is read of Redis for an overview: members, and few fields of every live attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_executor.config import Settings
from hybrid_executor.events import OwnerId
from hybrid_executor.insight.members import FORGOTTEN_SECONDS, AgentView, WorkerView, view_agent, view_worker
from hybrid_executor.store import Record, Store

POOLS = ("celery", "kubernetes")
"""The pools whose attempts have records. The local pool's live in their scheduler only."""

_FIELDS = (
    *("owner", "kind", "dag_id", "pool", "queue", "cluster", "namespace", "holder", "received_by", "note", "category"),
    *("submitted_at", "running_at", "profile", "warm", "route", "target", "moves", "moved_because", "try_number"),
)
MOMENTS = ("submitted_at", "launching_at", "pending_at", "running_at", "lost_at", "ended_at")
"""The fields that say when an attempt came to a state."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Redis at one moment.

    :ivar now: milliseconds on the Redis server's clock, which the times of records are from.
    :ivar records: live attempts, with few of their fields.
    """

    now: int
    workers: tuple[WorkerView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    records: tuple[Record, ...] = ()

    def age(self, milliseconds: int) -> float:
        """Return the seconds since a moment, 0 for one that has not come."""
        return max(0.0, (self.now - milliseconds) / 1000) if milliseconds else 0.0


def read_facts(store: Store, settings: Settings) -> Facts:
    """Return what Redis says now; a few round trips, and one more for each thousand live attempts.

    :raises StoreUnavailable: Redis could not be asked.
    """
    now = store.view.now()
    workers, agents = read_members(store, now=now)
    records = [record for pool in pools_of(settings) for record in store.view.live(pool, _FIELDS)]
    live = tuple(record for record in records if not record.state.is_terminal)
    return Facts(now=now, workers=workers, agents=agents, records=live)


def read_members(store: Store, *, now: int) -> tuple[tuple[WorkerView, ...], tuple[AgentView, ...]]:
    """Return workers and agents: those that are alive, and those that fell silent in the last hour.

    :param now: milliseconds on the Redis server's clock.
    """
    seconds = now / 1000
    workers = [view_worker(member, now=seconds) for member in store.presence.members("worker")]
    agents = [view_agent(member) for member in store.presence.members("agent")]
    return (
        tuple(worker for worker in workers if worker.is_alive or worker.heartbeat_age < FORGOTTEN_SECONDS),
        tuple(agent for agent in agents if agent.is_alive or agent.heartbeat_age < FORGOTTEN_SECONDS),
    )


def pools_of(settings: Settings) -> Sequence[str]:
    """Return the pools with records. Those without a route are included: they may still have attempts."""
    return [pool for pool in POOLS if pool in settings.routes.pools] + [
        pool for pool in POOLS if pool not in settings.routes.pools
    ]


def count_owned(records: Sequence[Record]) -> dict[tuple[OwnerId, str], int]:
    """Return how many live attempts each owner has in each pool."""
    counts: dict[tuple[OwnerId, str], int] = {}
    for record in records:
        key = (record.owner, record.pool)
        counts[key] = counts.get(key, 0) + 1
    return counts
