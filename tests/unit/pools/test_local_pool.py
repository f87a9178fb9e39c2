"""The local pool on an executor shaped like the LocalExecutor of newer Airflow releases."""

from __future__ import annotations

from typing import Any

from hybrid_executor.pools.local import LocalPool
from hybrid_executor.pools.pool import LocalEvent
from tests.integration.conftest import make_task


class NewerLocalExecutor:
    """Knows tasks by their id, and adds the ``workload_run_id`` to its events."""

    def __init__(self) -> None:
        self.executor_queues: dict[str, dict[Any, Any]] = {"ExecuteTask": {}}
        self.running: set[Any] = set()
        self.events: dict[Any, tuple[Any, ...]] = {}

    def get_workload_key(self, workload: Any) -> Any:
        return workload.ti.id

    def start(self) -> None: ...

    def queue_workload(self, workload: Any, session: Any) -> None:
        self.executor_queues["ExecuteTask"][workload.ti.id] = workload

    def heartbeat(self) -> None:
        self.running |= set(self.executor_queues["ExecuteTask"])
        self.executor_queues["ExecuteTask"].clear()

    def get_event_buffer(self) -> dict[Any, tuple[Any, ...]]:
        events, self.events = self.events, {}
        return events

    def end(self) -> None: ...


def test_an_event_has_the_key_that_the_scheduler_knows_and_its_run_id() -> None:
    executor, task = NewerLocalExecutor(), make_task()
    pool = LocalPool(executor)
    pool.submit(task.ti.key, task)
    assert pool.sync() == []
    assert len(pool) == 1
    executor.running.clear()
    executor.events = {task.ti.id: ("success", None, "run-1")}
    assert pool.sync() == [
        LocalEvent(key=task.ti.key, state="success", info=None, is_end=True, workload_run_id="run-1")  # type: ignore[arg-type]
    ]
    assert len(pool) == 0


def test_the_end_of_a_deferred_run_frees_no_slot_of_the_run_that_followed() -> None:
    executor, task = NewerLocalExecutor(), make_task()
    pool = LocalPool(executor)
    pool.submit(task.ti.key, task)
    pool.sync()
    pool.submit(task.ti.key, task)
    executor.events = {task.ti.id: ("success", None, "run-1")}
    assert [(event.workload_run_id, event.is_end) for event in pool.sync()] == [("run-1", False)]
    assert len(pool) == 1
    executor.running.clear()
    executor.events = {task.ti.id: ("success", None, "run-2")}
    assert [event.workload_run_id for event in pool.sync()] == ["run-2"]
    assert len(pool) == 0


def test_a_workload_takes_a_slot_from_its_submission_to_its_end() -> None:
    executor, running, ended = NewerLocalExecutor(), make_task("running"), make_task("ended")
    pool = LocalPool(executor)
    for task in (running, ended):
        pool.submit(task.ti.key, task)
    assert len(pool) == 2
    assert pool.sync() == []
    executor.running.remove(ended.ti.id)
    executor.events = {running.ti.id: ("running", None), ended.ti.id: ("success", None)}
    assert [(event.key, event.is_end) for event in pool.sync()] == [(running.ti.key, False), (ended.ti.key, True)]
    assert len(pool) == 1


def test_what_ends_while_the_pool_is_ended_is_reported() -> None:
    executor, task = NewerLocalExecutor(), make_task()
    pool = LocalPool(executor)
    pool.submit(task.ti.key, task)
    pool.sync()
    executor.running.clear()
    executor.events = {task.ti.id: ("failed", "why")}
    assert [(event.key, event.info, event.is_end) for event in pool.end()] == [(task.ti.key, "why", True)]
    assert len(pool) == 0
