"""Revoking one attempt."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_executor.config import Settings, airflow_config
from hybrid_executor.events import AttemptId
from hybrid_executor.operations.attempts import plan_revocation, revoke_attempts
from hybrid_executor.operations.done import Done
from hybrid_executor.plugin.page.deployment import Deployment
from hybrid_executor.pools.recorded import make_recorded_pools
from hybrid_executor.store import Record, Store


@dataclass(frozen=True, kw_only=True)
class Found:
    """The record of an attempt, and where it is."""

    record: Record
    settings: Settings
    store: Store


def find(deployment: Deployment, attempt: str) -> list[Found]:
    """Return the records with the id of an attempt, of any team. Says nothing of who may see them.

    There is one at most, unless a team has written a record with the id of another team's attempt.

    :raises StoreUnavailable: Redis could not be asked.
    """
    found = []
    for settings, store in map(deployment.open, deployment.teams()):
        record = store.attempts.records([AttemptId(attempt)])[0]
        if record is not None:
            found.append(Found(record=record, settings=settings, store=store))
    return found


def effects_of(record: Record, settings: Settings) -> list[str]:
    """Return in sentences what revoking an attempt would do."""
    words = plan_revocation(record, queued_timeout_seconds=settings.token_seconds).afterwards
    return [f"{words[:1].upper()}{words[1:]}."]


def revoke(found: Found, *, by: str) -> list[Done]:
    """Revoke an attempt, and say what became of it.

    :param by: the name of the user; the record's reason says it.
    :raises StoreUnavailable: Redis could not be asked.
    """
    pools = make_recorded_pools(airflow_config(found.settings.team), found.settings)
    return revoke_attempts(found.store, pools, [found.record], reason=f"Revoked by {by} on the page Executor")
