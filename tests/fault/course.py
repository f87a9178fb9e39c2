"""One course of a fault test: runs that are started, faults that strike, and the invariants at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Record
from tests.fault import invariants
from tests.fault.deployment import Deployment
from tests.fault.load import Load
from tests.fault.said import summary, where_it_stands
from tests.waiting import wait_until

_SAID = 3  # a server that comes back may fail once more


@contextmanager
def course(
    deployment: Deployment, *, may_spend_tries: bool = False, may_end: Collection[str] = (), troubles: int = 1
) -> Iterator[Load]:
    """Give the load of one course; at the end everything is healed, and all must have gone well.

    :param may_spend_tries: running tasks are killed, so that some need another try.
    :param may_end: parts that may end by themselves.
    :param troubles: how often something happens. A part may say the same of each.
    """
    deployment.ended.clear()
    said = where_it_stands(deployment.parts)
    since, begun = deployment.count_heartbeats(), time.monotonic()
    load = Load(deployment.api, deployment.database, deployment.marks)
    yield load
    deployment.heal()
    load.wait(*load.runs)
    forgiven = deployment.count_failed_by_api_server(since=said["api-server"])
    invariants.check_ends(load, load.runs, forgiven=forgiven)
    invariants.check_each_try_is_another_attempt(load, load.runs)
    if not may_spend_tries:
        invariants.check_no_try_was_spent(load, load.runs)
        invariants.check_nothing_was_said(load, load.runs)
    invariants.check_nothing_is_left(deployment)
    invariants.check_lives(deployment, may_end=may_end)
    slowest = invariants.check_heartbeats(deployment, since=since)
    print(f"said:\n{summary(deployment.parts, said)}")
    invariants.check_said_once(deployment, since=said, most=_SAID * troubles)
    print(f"{len(load.runs)} runs in {time.monotonic() - begun:.0f} s; longest heartbeat {slowest:.2f} s")


def wait_begun(load: Load, run_id: str, *task_ids: str, count: int | None = None) -> None:
    """Wait until tasks of a run have begun: ``count`` of all that are named, or one of each."""

    def have_begun() -> bool:
        found = [load.marks.begun_of(run_id, task_id) for task_id in task_ids]
        return sum(map(len, found)) >= count if count else all(found)

    wait_until(have_begun, what=lambda: f"{task_ids} have begun: {load.unfinished([run_id])}", every_seconds=0.1)


def records(deployment: Deployment, run_id: str) -> list[Record]:
    """Return the records of a run's live attempts."""
    attempts: list[AttemptId] = []
    for pool in ("celery", "kubernetes"):
        attempts += deployment.store.attempts.live(pool)
    found = deployment.store.attempts.records(attempts)
    return [record for record in found if record is not None and record.run_id == run_id]


def wait_records(
    deployment: Deployment, run_id: str, holds: Callable[[list[Record]], object], *, what: str
) -> list[Record]:
    """Wait until the records of a run's live attempts are as wanted; return them."""

    def look() -> list[Record]:
        found = records(deployment, run_id)
        return found if holds(found) else []

    return wait_until(look, what=lambda: f"{what}: {records(deployment, run_id)}", every_seconds=0.05)
