"""A scheduler makes a new workload where the old one expired before its pod was ready."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.log_tails import LogTails
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.agent.watch.relist import missing
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store, Waiter
from tests.integration.conftest import QUEUE_OF_PODS, queue
from tests.integration.rows import queue_again

pytestmark = pytest.mark.redis


def pending(store: Store, attempt: AttemptId) -> None:
    """Let the attempt's pod be ready, and its workload be gone."""
    fields = {"pod": "p", "namespace": "n", "holder": "p"}
    assert store.attempts.advance(Change(attempt=attempt, to=State.PENDING, generation=1, fields=fields)).is_granted
    store.client.delete(store.keys.payload(attempt))


def test_a_task_that_is_still_queued_gets_a_new_token_and_keeps_its_attempt(
    make_executor: Callable[..., Any], make_row: Callable[..., Any], store: Store
) -> None:
    executor = make_executor()
    waits, runs = make_row("waits", queue=QUEUE_OF_PODS), make_row("runs", queue=QUEUE_OF_PODS, state="running")
    attempts = queue(executor, waits, runs)
    executor.heartbeat()
    old = json.loads(store.attempts.workload(attempts[0])[1])
    for attempt in attempts:
        pending(store, attempt)
        assert store.hand_overs.want(attempt, generation=1)
    executor.heartbeat()
    record, payload, _ = store.attempts.workload(attempts[0])
    assert record is not None
    new = json.loads(payload)
    assert (record.state, record.generation, record.launches) == (State.PENDING, 1, 0)
    assert new["ti"]["id"] == old["ti"]["id"]
    assert new["token"] not in ("", old["token"])
    assert store.attempts.workload(attempts[1])[1] == "", "Airflow does not have it queued"
    assert executor.get_event_buffer() == {}


def test_an_attempt_whose_task_is_queued_as_another_one_by_now_gets_no_token(
    make_executor: Callable[..., Any], make_row: Callable[..., Any], store: Store
) -> None:
    """Its pod would start the task, and the other one's pod would be refused and fail it."""
    executor = make_executor()
    stays, was_reset = make_row("stays", queue=QUEUE_OF_PODS), make_row("was_reset", queue=QUEUE_OF_PODS)
    attempts = queue(executor, stays, was_reset)
    executor.heartbeat()
    for attempt in attempts:
        pending(store, attempt)
        store.hand_overs.want(attempt, generation=1)
    queue_again(was_reset)
    executor.heartbeat()
    assert [bool(store.attempts.workload(attempt)[1]) for attempt in attempts] == [True, False]


def test_an_attempt_that_has_started_in_between_gets_no_token(
    make_executor: Callable[..., Any], make_row: Callable[..., Any], store: Store
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row("task", queue=QUEUE_OF_PODS))
    executor.heartbeat()
    pending(store, attempt)
    store.hand_overs.want(attempt, generation=1)
    store.attempts.advance(Change(attempt=attempt, to=State.RUNNING, generation=1))
    executor.heartbeat()
    assert store.attempts.workload(attempt)[1] == ""


@pytest.mark.parametrize(("launches", "state"), [(3, State.SUBMITTED), (8, State.FAILED)])
def test_an_attempt_whose_workload_did_not_reach_its_pods_is_launched_more_often_than_others(
    make_executor: Callable[..., Any], make_row: Callable[..., Any], store: Store, launches: int, state: State
) -> None:
    executor = make_executor()
    [attempt] = queue(executor, make_row("task", queue=QUEUE_OF_PODS))
    executor.heartbeat()
    fields = {"category": "not_handed_over", "reason": "The pod ended before it got its task.", "launches": launches}
    store.attempts.advance(Change(attempt=attempt, to=State.LOST, generation=1, fields=fields))
    executor.heartbeat()
    record, payload, _ = store.attempts.workload(attempt)
    assert record is not None
    assert (record.state, bool(payload)) == (state, state is State.SUBMITTED)
    assert record.reason == ("" if payload else "The pod ended before it got its task.")


@pytest.mark.parametrize(
    ("is_handed_over", "task_state", "state"),
    [(True, "queued", State.SUBMITTED), (True, "running", State.FAILED), (False, "queued", State.FAILED)],
)
def test_a_pod_that_nobody_saw_go_while_it_waited_for_its_workload_is_no_failure(
    make_executor: Callable[..., Any],
    make_row: Callable[..., Any],
    store: Store,
    is_handed_over: bool,
    task_state: str,
    state: State,
) -> None:
    """An agent may have deleted it. Airflow's database tells whether the task has started."""
    executor = make_executor(kubernetes_executor__pod_launch_failure_retries="0")
    [attempt] = queue(executor, make_row("task", queue=QUEUE_OF_PODS, state=task_state))
    executor.heartbeat()
    pending(store, attempt)
    if is_handed_over:
        store.hand_overs.due([Waiter(attempt, 1, "n", "p")])
    recorder = PodRecorder(
        store.attempts,
        settings=replace(KubernetesSettings(), pod_launch_failure_retries=0),
        remover=cast(PodRemover, Mock()),
        log_tails=cast(LogTails, Mock(holds=lambda _: False, ready=lambda **_: [])),
    )
    [record] = store.attempts.records([attempt])
    assert record is not None
    recorder.record([missing(record)])
    executor.heartbeat()
    executor.heartbeat()
    record, payload, _ = store.attempts.workload(attempt)
    assert record is not None
    assert (record.state, bool(payload)) == (state, state is State.SUBMITTED)
