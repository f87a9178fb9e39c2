"""What has not started, and is skipped, marked or cleared in Airflow: nobody tells the executor, and it finds out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import timezone
from sqlalchemy import delete, update

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.pending import Repair
from hybrid_executor.executor.unawaited import Unawaited
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Store
from tests.integration.conftest import QUEUE_OF_PODS, queue, repaired
from tests.integration.rows import open_session
from tests.store_view import queue_length

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]
_WAITED_SECONDS = 30.0


def pending(executor: Any, store: Store, *workloads: Any) -> list[AttemptId]:
    """Let pods of tasks wait for a node, for long enough."""
    attempts = queue(executor, *workloads)
    executor.heartbeat()
    for attempt in attempts:
        store.attempts.advance(Change(attempt=attempt, to=State.PENDING, fields={"pod": "p", "namespace": "ns"}))
    executor.heartbeat()
    executor.clock.advance(_WAITED_SECONDS)
    return attempts


def set_row(workload: Any, **values: Any) -> None:
    """Let Airflow change its row, as it does for a person: it tells its executor nothing."""
    with open_session() as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == workload.ti.id).values(**values))
        session.commit()


def record_of(store: Store, attempt: AttemptId) -> Record:
    [record] = store.attempts.records([attempt])
    assert record is not None
    return record


@pytest.mark.parametrize("state", ["skipped", "success", "failed", "scheduled", None])
def test_the_pod_of_a_task_that_nobody_waits_for_is_deleted_at_the_second_look(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str | None
) -> None:
    executor = make_executor()
    ended, other = make_row("ended", queue=QUEUE_OF_PODS), make_row("other", queue=QUEUE_OF_PODS)
    attempt, waits = pending(executor, store, ended, other)
    set_row(ended, state=state)
    executor.heartbeat()
    assert record_of(store, attempt).state is State.PENDING, "one look is not enough"
    assert repaired(executor) == {}, "Airflow knows it already"
    record = record_of(store, attempt)
    assert record.state is State.REVOKED
    assert record.reason == f"Airflow does not wait for it any more: its task instance is {state or 'not queued'}"
    stream = store.launches("default", consumer="test")
    stream.prepare()
    told = [(entry.op, entry.attempt) for entry in stream.take(count=10, wait_milliseconds=10)]
    assert [found for op, found in told if op == "delete"] == [attempt]
    assert record_of(store, waits).state is State.PENDING
    assert (executor.running, len(executor.context.ledger)) == ({other.ti.key}, 1)


def test_a_task_that_does_not_exist_any_more_is_not_waited_for(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = pending(executor, store, workload)
    with open_session() as session:
        session.execute(delete(TaskInstance))
        session.commit()
    for _ in range(2):
        assert repaired(executor) == {}
    assert record_of(store, attempt).reason.startswith("Airflow does not have its task instance")


def test_an_older_attempt_that_never_started_makes_room_for_the_one_that_airflow_waits_for(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = pending(executor, store, workload)
    set_row(workload, external_executor_id="newer")
    for _ in range(2):
        assert repaired(executor) == {}
    assert record_of(store, attempt).reason == "Airflow waits for a newer attempt of its task instance, newer"


def test_the_message_of_a_task_that_nobody_waits_for_leaves_its_queue(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    ended, other = make_row("ended"), make_row("other")
    attempt, _ = queue(executor, ended, other)
    executor.heartbeat()
    executor.clock.advance(_WAITED_SECONDS)
    set_row(ended, state="skipped")
    for _ in range(2):
        assert repaired(executor) == {}
    assert record_of(store, attempt).state is State.REVOKED
    assert queue_length(store, "default") == 1


@pytest.mark.parametrize(
    ("state", "heard_at"),
    [
        *((state, None) for state in ("queued", "running", "deferred", "up_for_retry", "up_for_reschedule")),
        # They have run while no agent lived to see it: their pods tell how they ended.
        *((state, timezone.utcnow()) for state in ("success", "failed")),
    ],
    ids=lambda value: value if isinstance(value, str) else "heard of" if value else "",
)
def test_what_airflow_waits_for_and_what_has_started_is_left_alone(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store, state: str, heard_at: datetime | None
) -> None:
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = pending(executor, store, workload)
    set_row(workload, state=state, last_heartbeat_at=heard_at)
    for _ in range(3):
        assert repaired(executor) == {}
    assert record_of(store, attempt).state is State.PENDING


def test_what_starts_between_two_looks_is_not_ended(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = pending(executor, store, workload)
    set_row(workload, state="success")
    unawaited = Unawaited(executor.context)
    unawaited.look()
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    executor.clock.advance(10)
    unawaited.look()
    assert record_of(store, attempt).state is State.RUNNING
    assert executor.context.pending.to_read == {attempt}


def test_after_a_loss_of_data_what_has_another_attempt_by_now_does_not_wait_for_its_turn(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    workload = make_row(queue=QUEUE_OF_PODS)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    set_row(workload, external_executor_id="newer")
    executor.context.outage.note_loss()
    executor.context.pending.repairs.add(Repair.TAKE_BACK_UNAWAITED)
    executor.heartbeat()
    assert record_of(store, attempt).state is State.SUBMITTED, "one look is not enough"
    executor.clock.advance(5)
    executor.heartbeat()
    assert record_of(store, attempt).state is State.REVOKED
