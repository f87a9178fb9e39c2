"""What must hold after faults, whatever they were. Looked at in Airflow's database, in Redis, and in the cluster."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hybrid_executor.pools.celery_message import read_attempt
from hybrid_executor.sandbox.objects import PODS
from tests.fault.deployment import Deployment
from tests.fault.load import FAILS, TWICE, Load, Marks, Task, Try
from tests.fault.said import repeated
from tests.store_view import launches_length
from tests.waiting import wait_until

HEARTBEAT_SECONDS = 15.0
"""How long one ``heartbeat()`` may take: half of what Airflow waits before another scheduler takes over."""
_LASTING = ("_kombu.", "unacked", "{hybrid:airflow}:events", "{hybrid:airflow}:launch:", "{hybrid:airflow}:home")


def check_ends(load: Load, run_ids: Iterable[str], *, forgiven: int = 0) -> None:
    """Each task has ended as it was meant to, and nothing was done twice.

    :param forgiven: how many tasks that were done may have failed; see :meth:`Deployment.count_failed_by_api_server`.
    """
    run_ids = list(run_ids)
    tries, marks = load.tries(run_ids), load.marks
    wrong = [
        (task, tries[task])
        for task in tries
        if tries[task][-1].state != ("failed" if task.task_id in FAILS else "success")
    ]
    if len(wrong) <= forgiven:
        wrong = [(task, of_task) for task, of_task in wrong if not _is_done(marks, task, of_task[-1])]
    assert not wrong, f"ended otherwise than meant: {wrong}; {load.audit(run_ids)}"
    twice = {step: times for step, times in marks.begun.items() if step.run_id in run_ids and len(times) > 1}
    assert not twice, f"one try was begun twice: {twice}"
    for task, of_task in tries.items():
        if task.task_id in FAILS or of_task[-1].state != "success":
            continue
        is_done = _is_done(marks, task, of_task[-1]) or task.task_id.startswith("marked")
        assert is_done, f"{task} is successful and was never done: {of_task}"


def _is_done(marks: Marks, task: Task, last: Try) -> bool:
    """Return whether the last try of a task was done to its end."""
    return any(step[:3] == task and step.try_number == last.number for step in marks.ended)


def check_no_try_was_spent(load: Load, run_ids: Iterable[str]) -> None:
    """No task needed more tries than it was meant to."""
    run_ids = list(run_ids)
    spent = {
        task: of_task
        for task, of_task in load.tries(run_ids).items()
        if len(of_task) != (2 if task.task_id in TWICE else 1)
    }
    assert not spent, f"tries were spent: {spent}; {load.audit(run_ids)}"


def check_nothing_was_said(load: Load, run_ids: Iterable[str]) -> None:
    """Airflow's audit log tells of no failed attempt, mismatch or silence, but for what is meant to fail."""
    said = [row for row in load.audit(run_ids) if row[0] not in FAILS | TWICE]
    assert not said, f"the audit log tells of failures: {said}"


def check_each_try_is_another_attempt(load: Load, run_ids: Iterable[str]) -> None:
    """No two tries of a task were the same attempt, and Airflow's history has each try once."""
    doubled = load.doubled_tries(run_ids)
    assert not doubled, f"tries that Airflow's tables have twice: {doubled}"
    for task, tries in load.tries(run_ids).items():
        attempts = [one.attempt for one in tries if one.attempt]
        assert len(set(attempts)) == len(attempts), f"{task}: {tries}"


def check_nothing_is_left(deployment: Deployment) -> None:
    """Neither Redis nor the cluster holds anything of attempts that have ended."""
    wait_until(lambda: not left_over(deployment), what=lambda: f"nothing is left over: {left_over(deployment)}")


def check_lives(deployment: Deployment, *, may_end: Collection[str] = ()) -> None:
    """No process has ended by itself, also none that was started again since."""
    ended = (deployment.ended | set(deployment.died())) - set(may_end)
    assert not ended, {name: deployment.part(name).output[-2000:] for name in ended}


def check_heartbeats(deployment: Deployment, *, since: int = 0) -> float:
    """No ``heartbeat()`` took longer than it may; return the longest in seconds."""
    slowest = deployment.slowest_heartbeat(since=since)
    assert 0 < slowest < HEARTBEAT_SECONDS, f"a heartbeat took {slowest:.1f} s"
    return slowest


def check_said_once(deployment: Deployment, *, since: Mapping[str, int], most: int) -> None:
    """No part has said the same again and again."""
    found = repeated(deployment.parts, since, most=most)
    assert not found, f"said more than {most} times: {found}"


def _held_unended(deployment: Deployment, held: list[str]) -> list[str]:
    """Return the attempts that have not ended, of messages that a worker took and did not acknowledge.

    What a killed worker held stays there until Celery's ``visibility_timeout``, and is ignored then.
    """
    attempts = [attempt for text in held if (attempt := read_attempt(json.dumps(json.loads(text)[0])))]
    records = deployment.store.attempts.records(attempts)
    return [record.name for record in records if record is not None and not record.state.is_terminal]


def left_over(deployment: Deployment) -> dict[str, Any]:
    """Return what is there still, empty for nothing."""
    with deployment.redis.client() as client:
        found: dict[str, Any] = {
            "messages": client.llen("default"),
            "unacknowledged": _held_unended(deployment, client.hvals("unacked")),
            "launches": launches_length(deployment.store, "default"),
        }
        for pool in ("celery", "kubernetes"):
            found[f"live in {pool}"] = client.scard(f"{{hybrid:airflow}}:live:{pool}")
        for kind in ("payload", "overrides"):
            found[kind] = list(client.scan_iter(f"{{hybrid:airflow}}:{kind}:*", count=1000))
        found["owned"] = list(client.scan_iter("{hybrid:airflow}:owner:*", count=1000))
        found["without expiry"] = [
            key for key in client.scan_iter(count=1000) if client.ttl(key) == -1 and not key.startswith(_LASTING)
        ]
    found["occupied slots"] = [count for count in deployment.occupied() if count]
    pods = deployment.sandbox.call(lambda: deployment.sandbox.cluster.select(PODS))
    found["pods"] = [pod["metadata"]["name"] for pod in pods]
    return {name: value for name, value in found.items() if value}
