"""Redis loses all data while attempts wait, run and end: each is answered for to its end, and holds no slot after it.

The simulation has found each of these orders.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Restoration, Store
from tests.integration.conftest import queue, repaired, wait_for
from tests.integration.rows import queue_again
from tests.integration.test_owner_repairs import rows_of
from tests.redis_situations import frozen

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


def begun_anew(executor: Any, workload: Any, store: Store) -> tuple[AttemptId, int]:
    """Let Redis lose an attempt that runs, and its worker write it again; return it with the generation that it has."""
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.attempts.claim(attempt, worker="w", token="1-x")
    executor.heartbeat()
    store.client.flushall()
    # What a worker does whose report finds no record.
    claim = store.attempts.claim(attempt, worker="w", token="1-x", owner=OwnerId("1"))
    return attempt, claim.generation


def test_an_end_counts_although_its_record_was_made_anew_with_lower_generations(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    attempt, generation = begun_anew(executor, make_row(state="running"), store)
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, generation=generation, fields={"reason": "why"}))
    assert repaired(executor) == {"task": ("failed", "why")}
    assert executor.running == set()
    assert executor.slots_occupied == 0


def test_an_end_with_a_lower_generation_than_is_known_is_told_without_a_timed_repair(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    attempt, generation = begun_anew(executor, make_row(state="running"), store)
    executor.heartbeat()  # sees the loss, does the repairs, and reads that it runs
    assert len(executor.running) == 1
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED, generation=generation))
    executor.heartbeat()
    assert executor.running == set()


def test_what_runs_is_not_started_again_by_a_worker_after_redis_fell_back_to_before_its_start(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state="running"))
    executor.heartbeat()
    key = store.keys.attempt(attempt)
    before = store.client.dump(key)
    store.attempts.claim(attempt, worker="w", token="1-x")
    executor.heartbeat()
    # Redis falls back to before the claim, and the worker is dead.
    store.client.restore(key, 0, before, replace=True)
    store.client.set(store.keys.epoch, "another")
    executor.clock.advance(3)
    executor.heartbeat()
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.generation, record.holder) == (State.RUNNING, 2, "w")
    assert not store.attempts.claim(attempt, worker="other", token="2-x").is_granted


def test_a_task_that_started_unseen_is_answered_for_after_its_record_was_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running")
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.client.flushall()
    executor.heartbeat()
    assert executor.running == {workload.ti.key}
    # What the worker's main process does a few seconds later.
    store.attempts.restore(
        [Restoration(attempt=attempt, owner=OwnerId("1"), pool="celery", state=State.RUNNING, generation=2, fields={})]
    )
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.FAILED, generation=2, fields={"reason": "why"}))
    assert repaired(executor) == {"task": ("failed", "why")}
    assert executor.slots_occupied == 0


def test_an_attempt_whose_task_is_queued_as_another_one_by_now_is_not_submitted_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row()
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    # Another scheduler has queued the task again, for example since it was deferred and has been resumed.
    queue_again(workload)
    store.client.flushall()
    assert "task" not in {name for name, (state, _) in repaired(executor).items() if state == "failed"}
    assert store.attempts.records([attempt]) == [None]
    assert executor.running == set()


def test_what_was_adopted_while_redis_was_away_and_has_no_record_is_submitted_again(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, redis_url: str
) -> None:
    first = make_executor(job_id=1)
    workload = make_row()
    [attempt] = queue(first, workload)
    first.heartbeat()
    second = make_executor(job_id=2)
    with frozen(redis_url):
        assert second.try_adopt_task_instances(rows_of(workload)) == []
    store.client.flushall()
    second.clock.advance(10)
    wait_for(lambda: (repaired(second), store.attempts.records([attempt]) != [None])[1])
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.owner) == (State.SUBMITTED, "2")
    assert second.running == {workload.ti.key}


def test_a_pod_that_is_gone_is_looked_for_although_redis_has_lost_its_place(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state="running", queue="kubernetes"))
    executor.heartbeat()
    place = {"pod": "dag-task-1", "namespace": "elsewhere", "holder": "dag-task-1"}
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING, fields=place))
    executor.heartbeat()
    store.client.flushall()
    wait_for(lambda: (repaired(executor), store.attempts.records([attempt]) != [None])[1])
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.cluster) == (State.RUNNING, "default")
    assert (record.pod, record.namespace) == ("dag-task-1", "elsewhere")


def test_a_pod_that_started_its_task_unseen_is_recorded_so_that_it_can_be_found(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state="running", queue="kubernetes"))
    executor.heartbeat()
    store.client.flushall()
    wait_for(lambda: (repaired(executor), store.attempts.records([attempt]) != [None])[1])
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert (record.state, record.cluster) == (State.LAUNCHING, "default")
    # What the agents say where they find no pod, and no workload for another one.
    lost = {"reason": "Redis lost its workload before its pod was created", "category": "workload_lost"}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=lost))
    assert repaired(executor) == {"task": ("failed", lost["reason"])}
    assert executor.slots_occupied == 0


def test_a_task_that_sends_heartbeats_is_not_failed_because_its_workload_was_lost(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(state="running", queue="kubernetes", heard=timedelta(0))
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    store.client.delete(store.keys.payload(attempt))
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"category": "workload_lost"}))
    assert repaired(executor) == {}
    assert executor.running == {workload.ti.key}
    # What the agents write when they have found its pod after all.
    store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
    assert repaired(executor)["task"][0] == "success"
    assert executor.slots_occupied == 0


@pytest.mark.parametrize("launches", [0, 7])
@pytest.mark.parametrize("category", ["workload_lost", "not_handed_over", "expired"])
def test_a_waiting_task_whose_workload_did_not_reach_its_pod_gets_another_one(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, category: str, launches: int
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(queue="kubernetes"))
    executor.heartbeat()
    store.client.delete(store.keys.payload(attempt))
    fields: dict[str, str | int] = {"category": category, "launches": launches}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=fields))
    repaired(executor)
    record, payload, _ = store.attempts.workload(attempt)
    assert record is not None
    assert (record.state, record.launches, bool(payload)) == (State.SUBMITTED, launches + 1, True)


def test_a_task_whose_workload_is_lost_again_and_again_fails(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(queue="kubernetes"))
    executor.heartbeat()
    fields: dict[str, str | int] = {"reason": "no workload", "category": "workload_lost", "launches": 8}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields=fields))
    assert repaired(executor) == {"task": ("failed", "no workload")}


def test_a_lost_pod_of_a_task_that_was_deferred_fails_nothing(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(state="deferred", queue="kubernetes"))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "The pod was deleted"}))
    assert repaired(executor)["task"][0] == "success"
    assert executor.running == set()
    assert executor.slots_occupied == 0
    [record] = store.attempts.records([attempt])
    assert record is not None
    assert record.state is State.SUCCEEDED


def test_a_lost_attempt_is_submitted_again_although_redis_fell_back_to_before_the_last_submission(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row(queue="kubernetes"))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, fields={"reason": "The pod was deleted"}))
    repaired(executor)
    key = store.keys.attempt(attempt)
    assert store.client.hmget(key, "state", "generation") == ["submitted", "2"]
    store.client.hset(key, mapping={"state": "lost", "generation": "1", "launches": "0"})
    store.client.delete(store.keys.launch("default"))
    executor.clock.advance(executor.settings.worker_lost_after_seconds)
    repaired(executor)
    assert store.client.hmget(key, "state", "generation") == ["submitted", "2"]
    assert len(store.launches("default", consumer="").launches_waiting()) == 1
