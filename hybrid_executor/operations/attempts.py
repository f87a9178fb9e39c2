"""Revoking attempts: they do not start any more, and pods that exist already are deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid_executor.errors import ConfigError
from hybrid_executor.events import AttemptId
from hybrid_executor.operations.done import Done, Report, tell_nobody
from hybrid_executor.operations.standing import read_live_records
from hybrid_executor.pools.pool import RecordedPool
from hybrid_executor.states import State
from hybrid_executor.store import Outcome, Record, Store
from hybrid_executor.targets import POOLS

REASON = "Revoked by a user"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One attempt that can be revoked.

    :ivar afterwards: what happens to its task in Airflow afterwards.
    """

    record: Record
    afterwards: str


def choose_attempts(
    store: Store,
    attempts: Sequence[str] = (),
    *,
    dag_id: str = "",
    task_id: str = "",
    run_id: str = "",
) -> list[Record]:
    """Return the records of the given attempts, or of the live ones of a Dag, a task or a run.

    :raises ConfigError: none was meant, one has no record, or the selection has no live attempt.
    :raises StoreUnavailable: Redis could not be asked.
    """
    if attempts and (dag_id or task_id or run_id):
        raise ConfigError("Write either ids of attempts or --dag, not both.")
    if attempts:
        return _records_of(store, list(dict.fromkeys(attempts)))
    if not dag_id:
        raise ConfigError(
            "No attempt given: write ids of attempts (see 'airflow hybrid tasks'), or --dag with the id of a Dag."
        )
    found = [
        record
        for record in read_live_records(store, POOLS)
        if record.dag_id == dag_id
        and (not task_id or record.task_id == task_id)
        and (not run_id or record.run_id == run_id)
        and not record.state.is_terminal
    ]
    if not found:
        meant = f"{dag_id}.{task_id}" if task_id else f"Dag {dag_id}"
        in_run = f" in the run {run_id}" if run_id else ""
        raise ConfigError(f"There is no live attempt of {meant}{in_run}: see 'airflow hybrid tasks'.")
    return sorted(found, key=lambda record: (record.dag_id, record.run_id, record.task_id, record.map_index))


def _records_of(store: Store, attempts: Sequence[str]) -> list[Record]:
    known = store.attempts.records([AttemptId(attempt) for attempt in attempts])
    missing = [attempt for attempt, record in zip(attempts, known, strict=True) if record is None]
    if missing:
        raise ConfigError(
            f"There is no record of the attempt {missing[0]}: it has never existed or has expired. Ids of attempts are "
            "the external_executor_id of task instances; 'airflow hybrid tasks' lists them."
        )
    return [record for record in known if record is not None]


def plan_revocation(record: Record, *, queued_timeout_seconds: float) -> Plan:
    """Return what revoking an attempt would do. Pure.

    :param queued_timeout_seconds: [scheduler] task_queued_timeout.
    """
    return Plan(record=record, afterwards=_afterwards(record, queued_timeout_seconds))


def _afterwards(record: Record, queued_timeout_seconds: float) -> str:
    if record.trouble:
        return f"cannot be revoked: {record.trouble}"
    if record.state.is_terminal:
        return f"has {record.state.value} already: nothing changes"
    if record.kind != "task":
        return f"the {record.kind} does not run; Airflow is not told"
    if record.state is State.RUNNING and record.pool == "celery":
        return (
            f"its task runs on {record.holder or 'a worker'} and continues to its end, which it reports to Airflow "
            "itself; only the slot is free. To end the task, mark it as failed in Airflow"
        )
    if record.state in (State.RUNNING, State.PENDING) and record.pool == "kubernetes":
        return (
            "an agent deletes its pod. A task that had started gets SIGTERM, and Airflow retries or fails it when it "
            "is not heard of; one that had not started stays queued in Airflow, which queues it again after "
            f"{queued_timeout_seconds:g} s"
        )
    if record.state is State.LOST:
        return "nobody decides about it any more: clear the task or mark it as failed in Airflow"
    return (
        "it does not start. The task stays queued in Airflow, which queues it again after "
        f"{queued_timeout_seconds:g} s ([scheduler] task_queued_timeout), and fails it when that has happened too "
        "often. To decide now, clear the task or mark it as failed in Airflow"
    )


def revoke_attempts(
    store: Store,
    pools: Mapping[str, RecordedPool],
    records: Sequence[Record],
    *,
    reason: str = REASON,
    report: Report = tell_nobody,
) -> list[Done]:
    """Revoke attempts, and remove the messages of those that wait in a queue. One that has ended stays as it is.

    :param pools: those of the deployment; see :func:`~hybrid_executor.pools.recorded.make_recorded_pools`.
    :param reason: what the record says afterwards.
    :raises StoreUnavailable: Redis could not be asked; what was reported until then is done.
    """
    results = []
    for record in records:
        if record.trouble:
            done = Done(item=record.id, is_done=False, words=f"cannot be revoked: {record.trouble}")
        else:
            done = _revoke(store, pools, record, reason)
        results.append(done)
        report(done)
    return results


def _revoke(store: Store, pools: Mapping[str, RecordedPool], record: Record, reason: str) -> Done:
    pool = pools.get(record.pool)
    was_queued = False
    if pool is not None and record.state is State.SUBMITTED:
        payload = store.attempts.workload(record.id)[1]
        was_queued = pool.unsend(store, record, payload)
    [claim] = store.attempts.revoke([record.id], reason=reason)
    if claim.outcome is Outcome.CHANGED:
        words = f"revoked ({record.name}){', and its message is removed from the queue' if was_queued else ''}"
        return Done(item=record.id, is_done=True, words=words)
    if claim.outcome is Outcome.ILLEGAL:
        return Done(item=record.id, is_done=True, words=f"has {claim.state} already")
    if claim.outcome is Outcome.MISSING:
        return Done(item=record.id, is_done=True, words="has no record any more")
    return Done(item=record.id, is_done=False, words=f"was not revoked ({claim.outcome.name.lower()}); try again")
