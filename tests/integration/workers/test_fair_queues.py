"""One worker and several queues on a real Redis: whose messages it takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, wait_until


def wait_until_all_ended(scheduler: Scheduler, attempts: list[AttemptId]) -> None:
    """Wait until no attempt is live."""
    wait_until(
        lambda: all(scheduler.record(attempt).state is State.SUCCEEDED for attempt in attempts),
        seconds=60,
        what=f"{len(attempts)} attempts have ended",
    )


@pytest.mark.usefixtures("worker")
def test_a_few_tasks_do_not_wait_for_a_hundred_times_as_many_of_another_queue(scheduler: Scheduler) -> None:
    big = scheduler.submit(*(scheduler.work(queue="other") for _ in range(300)))
    wait_until(lambda: scheduler.messages("other") < 290, what="the worker is busy with the long queue")
    small = scheduler.submit(*(scheduler.work(queue="default") for _ in range(3)))
    wait_until_all_ended(scheduler, small)
    first, last = scheduler.record(small[0]).submitted_at, max(scheduler.record(one).running_at for one in small)
    between = [one for one in big if first < scheduler.record(one).running_at < last]
    assert len(between) <= 3 + 2 * 2, "one for each of theirs, and those that its two task processes had already"
    scheduler.store.attempts.revoke(big, reason="the test has ended")
    scheduler.wait_until_acknowledged()


def test_queues_are_served_by_their_shares_also_by_a_single_task_process(
    fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    scheduler, gate = fresh_scheduler, tmp_path / "go"
    start_worker(queues="etl,reports,first", shares="reports=3, *=1")
    [first] = scheduler.submit(scheduler.work(queue="first", until=str(gate)))
    scheduler.wait_for(first, State.RUNNING)
    etl = scheduler.submit(*(scheduler.work(queue="etl") for _ in range(60)))
    reports = scheduler.submit(*(scheduler.work(queue="reports") for _ in range(60)))
    gate.touch()
    wait_until_all_ended(scheduler, etl + reports)
    records = sorted((scheduler.record(one) for one in etl + reports), key=lambda record: record.running_at)
    assert 27 <= Counter(record.queue for record in records[:40])["reports"] <= 33
