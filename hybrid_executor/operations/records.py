"""Removing records of attempts before they expire: of those that have ended, and of those that nobody answers for."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.operations.done import Done, Report, tell_nobody
from hybrid_executor.operations.standing import Standing, read_standings
from hybrid_executor.states import State
from hybrid_executor.store import Erasure, Record, Store


def forget_attempts(
    store: Store,
    records: Sequence[Record],
    *,
    is_forced: bool = False,
    is_dry_run: bool = False,
    report: Report = tell_nobody,
) -> list[Done]:
    """Delete the records of ended and orphaned attempts.

    A record that cannot be read, because its key holds a value of another type, is deleted too.

    :param is_forced: delete also those of attempts that are alive; :func:`why_kept` says what that breaks.
    :raises StoreUnavailable: Redis could not be asked.
    :raises HybridError: Airflow's database could not be asked about an attempt that has not ended.
    """
    live = [record for record in records if not record.state.is_terminal and not record.trouble]
    standings = read_standings(store, live) if live and not is_forced else {}
    results = []
    for record in records:
        why = why_kept(standings[record.id]) if record.id in standings else ""
        if why:
            done = Done(item=record.id, is_done=False, words=f"is kept ({record.name}): {why}")
        elif is_dry_run:
            done = Done(item=record.id, is_done=True, words=f"would be forgotten ({_words_for(record)})")
        else:
            done = _erase(store, record, is_allowed=is_forced or record.id in standings)
        results.append(done)
        report(done)
    return results


def why_kept(standing: Standing) -> str:
    """Return what deleting the record of an attempt would break, "" for nothing. Pure."""
    record = standing.record
    if record.state.is_terminal or standing.is_orphaned:
        return ""
    if standing.is_in_hand or (record.state is State.RUNNING and record.pool == "celery" and standing.is_owner_alive):
        return (
            f"its task runs on {record.holder or 'a worker'}. Without the record, its slot is free, and its end is "
            "reported only by the task itself: revoke it, or wait for its end"
        )
    if record.pool == "kubernetes" and record.pod and not record.state.is_terminal:
        return (
            f"it has the pod {record.namespace}/{record.pod}. Without the record, agents delete the pod or record it "
            "again: revoke it instead"
        )
    if standing.is_owner_alive:
        return (
            f"the scheduler with the job id {record.owner} is responsible for it, and submits it again when it finds "
            "that the record is missing: revoke it instead"
        )
    if standing.is_awaited:
        return (
            "its scheduler is gone, and Airflow still waits for it. Another scheduler adopts it soon; without the "
            "record, that scheduler queues the task again"
        )
    return "it has not ended, and whether anybody waits for it is not known: revoke it first"


def _words_for(record: Record) -> str:
    return record.trouble or f"{record.name}, {record.state.value}"


def _erase(store: Store, record: Record, *, is_allowed: bool) -> Done:
    answer = store.erasing.erase(record.id, generation=record.generation, is_forced=is_allowed)
    if answer is Erasure.DELETED:
        return Done(item=record.id, is_done=True, words=f"forgotten ({_words_for(record)})")
    if answer is Erasure.MISSING:
        return Done(item=record.id, is_done=True, words="has no record any more")
    return Done(item=record.id, is_done=False, words=f"has changed in between ({record.name}): try again")
