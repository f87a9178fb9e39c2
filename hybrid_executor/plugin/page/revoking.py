"""Revoking one attempt."""

from __future__ import annotations

from hybrid_executor.config import Settings, airflow_config
from hybrid_executor.events import AttemptId
from hybrid_executor.operations.attempts import plan_revocation, revoke_attempts
from hybrid_executor.operations.done import Done
from hybrid_executor.pools.recorded import make_recorded_pools
from hybrid_executor.store import Record, Store


def find(store: Store, attempt: str) -> Record | None:
    """Return the record of an attempt, ``None`` if there is none.

    :raises StoreUnavailable: Redis could not be asked.
    """
    return store.attempts.records([AttemptId(attempt)])[0]


def effects_of(record: Record, settings: Settings) -> list[str]:
    """Return in sentences what revoking an attempt would do."""
    words = plan_revocation(record, queued_timeout_seconds=settings.token_seconds).afterwards
    return [f"{words[:1].upper()}{words[1:]}."]


def revoke(settings: Settings, store: Store, record: Record, *, by: str) -> list[Done]:
    """Revoke an attempt, and say what became of it.

    :param by: the name of the user; the record's reason says it.
    :raises StoreUnavailable: Redis could not be asked.
    """
    pools = make_recorded_pools(airflow_config(), settings)
    return revoke_attempts(store, pools, [record], reason=f"Revoked by {by} on the page Executor")
