"""Attempts that Airflow has ended or taken back: they must not start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.waiting import waited_for
from hybrid_executor.store import Record

if TYPE_CHECKING:
    from hybrid_executor.compat import WorkloadKey

TAKEN_BACK = "taken_back"
"""Category of attempts that were revoked because Airflow has ended or taken back its task."""

_REMEMBERED_SECONDS = 30.0  # more than a replica may be behind, and than it takes to notice that it was promoted


def give_up(context: Context, key: WorkloadKey) -> None:
    """Forget the attempt of a key that Airflow itself has ended, and have it revoked in the next loop."""
    tracked = context.ledger.of_key(key)
    if tracked is not None:
        context.ledger.remove(tracked.attempt)
        context.pending.to_revoke.add(tracked.attempt)


def take_back(context: Context, key: WorkloadKey, *, attempt: AttemptId) -> str:
    """Revoke the attempt of a stuck task at once; return what it was waiting for, "" where that is not known.

    While Redis is unavailable the attempt is revoked later.

    :param attempt: the id in Airflow's database, "" for none; used where this scheduler does not know the key.
    :raises StoreUnavailable: Redis could not be asked; the attempt is revoked later.
    """
    tracked = context.ledger.of_key(key)
    if tracked is not None:
        attempt = tracked.attempt
        context.ledger.remove(attempt)
    if not attempt:
        return ""
    context.pending.to_revoke.add(attempt)
    return waited_for(_revoke_now(context, attempt)) if context.outage.may_ask() else ""


def _revoke_now(context: Context, attempt: AttemptId) -> Record | None:
    """Remove an attempt's message, where it still waits, and revoke the attempt; return its record from before."""
    attempts = context.store.attempts
    with context.outage.watch():
        record, payload, _ = attempts.workload(attempt)
        if record is not None and record.pool in context.pools:
            context.pools[record.pool].unsend(context.store, record, payload)
        attempts.revoke([attempt], reason="Stuck in queued: Airflow takes it back", category=TAKEN_BACK)
        context.pending.to_revoke.discard(attempt)
    _remember(context, [attempt])
    return record


def revoke_pending(context: Context) -> None:
    """Revoke all attempts that wait for it.

    :raises StoreUnavailable: Redis could not be asked; they go on waiting.
    """
    attempts = set(context.pending.to_revoke)
    context.store.attempts.revoke(attempts, reason="Airflow ended this attempt", category=TAKEN_BACK)
    context.pending.to_revoke -= attempts
    _remember(context, attempts)


def revoke_again(context: Context) -> None:
    """Have what was revoked lately revoked once more: Redis may have fallen back to data in which it waits."""
    context.pending.to_revoke |= set(context.pending.revoked)


def _remember(context: Context, attempts: Iterable[AttemptId]) -> None:
    now, revoked = context.clock(), context.pending.revoked
    for attempt in attempts:
        revoked.pop(attempt, None)
        revoked[attempt] = now
    while revoked and now - next(iter(revoked.values())) > _REMEMBERED_SECONDS:
        del revoked[next(iter(revoked))]
