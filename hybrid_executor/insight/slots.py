"""The pools' slots: how many attempts each scheduler may have, and has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_executor.compat import SchedulerRow
from hybrid_executor.config import Settings
from hybrid_executor.events import OwnerId
from hybrid_executor.insight.facts import POOLS, count_owned
from hybrid_executor.insight.queues import QueueView
from hybrid_executor.store import Record


@dataclass(frozen=True, kw_only=True)
class SchedulerView:
    """One scheduler.

    :ivar heartbeat_age: seconds since its last heartbeat in Airflow's database, ``None`` if there is none.
    :ivar live: its live attempts, by pool.
    """

    job_id: str
    hostname: str
    is_alive: bool
    heartbeat_age: float | None
    live: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class PoolView:
    """One pool of the executor (not one of Airflow's pools).

    :ivar limit: slots of all living schedulers together. :ivar per_scheduler: slots of one.
    :ivar occupied: live attempts. :ivar full: the schedulers that have no slot left.
    :ivar queued: task instances that Airflow has queued and that no scheduler has submitted yet.
    """

    name: str
    limit: int
    per_scheduler: int
    occupied: int
    full: tuple[str, ...] = ()
    queued: int = 0


def view_schedulers(rows: Sequence[SchedulerRow], records: Sequence[Record]) -> tuple[SchedulerView, ...]:
    """Return schedulers with what they own. An owner that Airflow's database does not list is a dead scheduler."""
    owned = count_owned(records)
    known = {row.job_id: row for row in rows}
    gone = sorted({owner for owner, _ in owned} - known.keys() - {OwnerId("")})
    views = [
        SchedulerView(
            job_id=row.job_id,
            hostname=row.hostname,
            is_alive=row.is_alive,
            heartbeat_age=round(row.heartbeat_age, 1) if row.heartbeat_age is not None else None,
            live=_live_of(OwnerId(row.job_id), owned),
        )
        for row in rows
    ]
    views += [
        SchedulerView(job_id=owner, hostname="", is_alive=False, heartbeat_age=None, live=_live_of(owner, owned))
        for owner in gone
    ]
    return tuple(views)


def _live_of(owner: OwnerId, owned: Mapping[tuple[OwnerId, str], int]) -> dict[str, int]:
    return {pool: count for (name, pool), count in sorted(owned.items()) if name == owner}


def view_pools(
    settings: Settings, schedulers: Sequence[SchedulerView], records: Sequence[Record], queues: Sequence[QueueView]
) -> tuple[PoolView, ...]:
    """Return the pools that some queue is routed to, or that still have attempts."""
    alive = [scheduler for scheduler in schedulers if scheduler.is_alive]
    views = []
    for pool in POOLS:
        occupied = sum(record.pool == pool for record in records)
        if pool not in settings.routes.pools and not occupied:
            continue
        limit = settings.parallelism[pool]
        views.append(
            PoolView(
                name=pool,
                limit=limit * max(1, len(alive)),
                per_scheduler=limit,
                occupied=occupied,
                full=tuple(scheduler.job_id for scheduler in alive if scheduler.live.get(pool, 0) >= limit),
                queued=sum(queue.queued for queue in queues if queue.pool == pool),
            )
        )
    return tuple(views)
