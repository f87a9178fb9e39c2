"""Checks that every run succeeded and that each task ran where its queue says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybrid_executor.demo.rows import key_of_record, key_of_try
from hybrid_executor.routing import Routes
from hybrid_executor.store import Record

_GOOD_ENDS = frozenset({"success", "skipped"})
_NEVER_STARTED = frozenset({"skipped", "removed", "upstream_failed"})


def judge(
    *,
    run_states: Mapping[str, str],
    instances: Sequence[Mapping[str, Any]],
    tries: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    routes: Routes,
    workers: Mapping[str, str],
) -> list[str]:
    """Return the problems; an empty list means that everything is correct.

    :param run_states: the final state of each DAG's run.
    :param instances, tries: task instances and all their tries, from Airflow's REST API.
    :param records: the attempts in the store.
    :param workers: hosts of the Celery workers by name.
    """
    by_try: dict[Any, list[Record]] = {}
    for record in records:
        by_try.setdefault(key_of_record(record), []).append(record)
    wrong = [f"the run of {dag_id} is {state}" for dag_id, state in run_states.items() if state != "success"]
    for instance in instances:
        if instance["state"] not in _GOOD_ENDS:
            reasons = [record.reason for record in by_try.get(key_of_try(instance), []) if record.reason]
            wrong.append(": ".join([f"{_name(instance)} is {instance['state'] or 'not scheduled'}", *reasons[-1:]]))
    pods = {record.pod for record in records if record.pod}
    for row in tries:
        if row["state"] in _NEVER_STARTED or (row["state"] == "failed" and not row["hostname"]):
            continue
        attempts = by_try.get(key_of_try(row), [])
        if not attempts:
            wrong.append(f"{_name(row)} has no record in Redis")
        else:
            wrong += _judge_place(row, attempts, routes=routes, workers=workers, pods=pods)
    return wrong


def _judge_place(
    row: Mapping[str, Any], attempts: Sequence[Record], *, routes: Routes, workers: Mapping[str, str], pods: set[str]
) -> list[str]:
    """Compare queue, record and the task's own host name; a try has the host name of its last attempt."""
    route = routes.find(row["queue"])
    hostname = row["hostname"] or ""
    wrong = []
    for record in attempts:
        if not record.state.is_terminal:
            wrong.append(f"{_name(row)} is still {record.state.value} in Redis")
        if (record.queue, record.pool, record.profile) != (row["queue"], route.pool, route.profile):
            found = f"{record.pool}:{record.profile}" if record.profile else record.pool
            wrong.append(f"{_name(row)} of queue {row['queue']} went to {found} and not as its route says ({route})")
    last = attempts[-1]
    if route.pool == "kubernetes" and (not last.pod or hostname != last.pod):
        wrong.append(f"{_name(row)} ran on {hostname or 'an unknown host'} and not in its pod {last.pod or '(none)'}")
    if route.pool == "celery" and (last.holder not in workers or hostname != workers[last.holder]):
        where = workers.get(last.holder, "an unknown worker")
        wrong.append(f"{_name(row)} ran on {hostname or 'an unknown host'} and not on {last.holder or '?'} ({where})")
    if route.pool != "kubernetes" and hostname in pods:
        wrong.append(f"{_name(row)} of queue {row['queue']} ran in the pod {hostname}")
    return wrong


def _name(row: Mapping[str, Any]) -> str:
    mapped = f"[{row['map_index']}]" if row["map_index"] >= 0 else ""
    return f"{row['dag_id']}.{row['task_id']}{mapped} (try {row['try_number']})"
