"""Queues of workers that no living worker serves. Pure apart from one read of who is alive."""

from __future__ import annotations

from collections.abc import Iterable

from hybrid_executor.config import Settings
from hybrid_executor.operations.members import names_in
from hybrid_executor.store import Store

_WILDCARDS = frozenset("*?[")


def named_queues(settings: Settings, *, default_queue: str) -> list[str]:
    """Return the queues of workers that the configuration names: the default one, and routes without a wildcard."""
    named = [route.pattern for route in settings.routes.routes if not _WILDCARDS & set(route.pattern)]
    return [queue for queue in dict.fromkeys((default_queue, *named)) if settings.routes.find(queue).reaches("celery")]


def queues_without_worker(store: Store, queues: Iterable[str]) -> list[str]:
    """Return those of the queues that no living worker serves, in their order.

    :raises StoreUnavailable: Redis could not be asked.
    """
    served = {
        queue for member in store.presence.members("worker") if member.is_alive for queue in names_in(member, "queues")
    }
    return [queue for queue in queues if queue not in served]


def advice_for(queue: str) -> str:
    """Return what to do about a queue that nobody serves."""
    return (
        f"No living worker serves the queue {queue}: run airflow hybrid worker --queues {queue}, or route the queue "
        "elsewhere in [hybrid_executor] routes"
    )
