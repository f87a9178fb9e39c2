"""Which pods' tasks have started: read from Airflow's database and told to the agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, queue, wait_for

MakeExecutor = Callable[..., Any]
MakeRow = Callable[..., Any]


def test_a_pod_counts_as_starting_until_airflow_has_its_task_running(
    make_executor: MakeExecutor, make_row: MakeRow, store: Store
) -> None:
    executor = make_executor()
    waiting = make_row("waiting", queue=QUEUE_OF_PODS)
    started = make_row("started", queue=QUEUE_OF_PODS, state="running")
    attempts = queue(executor, waiting, started)
    executor.heartbeat()
    assert store.starts.admit("default", attempts, most=0) == 2
    for attempt in attempts:
        store.attempts.advance(Change(attempt=attempt, to=State.RUNNING))
    store.starts.run("default", attempts)
    assert store.starts.under_way("default")[0] == 2
    wait_for(lambda: (executor.heartbeat(), store.starts.under_way("default")[0] == 1)[1])
    assert store.client.zrange(store.keys.starting("default"), 0, -1) == [attempts[0]]
