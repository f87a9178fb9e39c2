"""The executors on a base shaped like that of newer Airflow releases, and with workloads that have fields of theirs."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import pytest
import redis
from airflow.executors.base_executor import BaseExecutor
from airflow.executors.workloads import BundleInfo, ExecuteTask, TaskInstanceDTO
from airflow.utils.state import TaskInstanceState

from hybrid_executor.errors import ConfigError
from hybrid_executor.executor import HybridExecutor, LocalKubernetesExecutor
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]
ENDS = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)


class NewerTaskInstance(TaskInstanceDTO):
    workload_run_id: str | None = None
    a_new_field: str = "kept"


class NewerBundleInfo(BundleInfo):
    version_data: dict[str, Any] | None = None


class NewerTask(ExecuteTask):
    ti: NewerTaskInstance
    bundle_info: NewerBundleInfo
    another_field: list[int] = [1, 2]


def make_newer_task(task_id: str = "task", *, run_id: str = "", **fields: Any) -> Any:
    """Return a task's workload with the fields of a newer release."""
    task = make_task(task_id, **fields)
    return NewerTask.model_construct(
        **{name: getattr(task, name) for name in type(task).model_fields if name not in ("ti", "bundle_info")},
        ti=NewerTaskInstance(**dict(task.ti), workload_run_id=run_id or None),
        bundle_info=NewerBundleInfo(name="dags", version_data={"manifest": {"a.py": "v1"}}),
    )


class NewerBase(BaseExecutor):
    """Keeps waiting workloads by type, and tells by ``workload_run_id`` which queueing of a key an event is about."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("queued_tasks", "queued_callbacks", "queued_connection_tests"):
            vars(self).pop(name, None)
        self.executor_queues: Any = defaultdict(dict)
        self.run_ids: dict[Any, deque[str]] = defaultdict(deque)

    def queue_workload(self, workload: Any, session: Any) -> None:
        if not isinstance(workload, ExecuteTask):
            raise NotImplementedError(f"{type(self).__name__} does not support {type(workload).__name__} workloads")
        self.executor_queues["ExecuteTask"][workload.ti.key] = workload
        if run_id := getattr(workload.ti, "workload_run_id", None):
            self.run_ids[workload.ti.key].append(run_id)

    def change_state(
        self, key: Any, state: Any, info: Any = None, remove_running: bool = True, workload_run_id: str | None = None
    ) -> None:
        if remove_running:
            self.running.discard(key)
        oldest = self.run_ids[key].popleft() if state in ENDS and self.run_ids[key] else None
        buffer: Any = self.event_buffer
        buffer[key] = (state, info, workload_run_id or oldest)

    def fail(self, key: Any, info: Any = None, workload_run_id: str | None = None) -> None:
        self.change_state(key, TaskInstanceState.FAILED, info, workload_run_id=workload_run_id)


class NewerHybridExecutor(HybridExecutor, NewerBase):
    pass


class NewerLocalKubernetesExecutor(LocalKubernetesExecutor, NewerBase):
    pass


class UnknownWorkload:
    """A kind of workload that a later release has."""

    type = "Unheard"
    key = "a-key"
    failure_state = "failed"

    def model_dump_json(self) -> str:
        return "{}"


def test_a_base_that_keeps_workloads_elsewhere_is_refused_at_start(make_executor: MakeExecutor) -> None:
    class Elsewhere(NewerHybridExecutor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            del self.executor_queues

    if isinstance(getattr(BaseExecutor, "queued_tasks", None), property):
        pytest.skip("this release has both names")
    with pytest.raises(ConfigError, match="is not supported by this release of airflow-hybrid-executor"):
        make_executor(cls=Elsewhere)


@pytest.mark.parametrize("cls", [HybridExecutor, NewerHybridExecutor])
def test_a_workload_of_an_unknown_kind_fails_alone(
    make_executor: MakeExecutor, store: Store, cls: type, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = make_executor(cls=cls)
    task = make_task()
    executor.queue_workload(UnknownWorkload(), session=None)
    executor.queue_workload(object(), session=None)
    assert capsys.readouterr().out.count("A workload fails alone: This release of airflow-hybrid-executor cannot") == 2
    [attempt] = queue(executor, task)
    executor.heartbeat()
    assert store.attempts.live("celery") == {attempt}
    [(key, value)] = executor.get_event_buffer().items()
    assert (key, value[0]) == ("a-key", "failed")
    assert "cannot run a UnknownWorkload of Airflow" in value[1]


@pytest.mark.parametrize("queue_name", ["default", QUEUE_OF_PODS])
def test_fields_that_we_do_not_know_reach_worker_and_pod_unchanged(
    make_executor: MakeExecutor, store: Store, redis_url: str, queue_name: str
) -> None:
    executor = make_executor(cls=NewerHybridExecutor)
    task = make_newer_task(queue=queue_name, run_id="run-1")
    text = task.model_dump_json()
    assert {"another_field", "version_data", "a_new_field", "workload_run_id"} <= set(text.split('"'))
    [attempt] = queue(executor, task)
    executor.heartbeat()
    assert store.client.get(store.keys.payload(attempt)) == text
    if queue_name == "default":
        with redis.Redis.from_url(redis_url) as client:
            [message] = client.lrange("default", 0, -1)
        assert json.loads(b64decode(json.loads(message)["body"]))[0] == [text]


def test_an_end_has_the_run_id_of_its_own_run_and_not_of_a_deferred_one(
    make_executor: MakeExecutor, store: Store
) -> None:
    executor = make_executor(cls=NewerHybridExecutor)
    first = make_newer_task(run_id="run-1")
    [deferred] = queue(executor, first)
    executor.heartbeat()
    store.attempts.claim(deferred, worker="w")
    executor.heartbeat()
    [resumed] = queue(executor, make_newer_task(id=first.ti.id, run_id="run-2"))
    executor.heartbeat()
    store.attempts.advance(Change(attempt=deferred, to=State.SUCCEEDED))
    executor.heartbeat()
    assert executor.get_event_buffer() == {}
    store.attempts.claim(resumed, worker="w")
    store.attempts.advance(Change(attempt=resumed, to=State.FAILED, fields={"reason": "why"}))
    executor.heartbeat()
    assert executor.get_event_buffer() == {first.ti.key: (TaskInstanceState.FAILED, "why", "run-2")}


def test_a_workload_that_cannot_be_prepared_fails_with_its_run_id(make_executor: MakeExecutor) -> None:
    executor = make_executor(cls=NewerHybridExecutor)
    bad = make_newer_task(queue="unacked", run_id="run-1")
    queue(executor, bad)
    executor.heartbeat()
    [(state, reason, run_id)] = executor.get_event_buffer().values()
    assert (state, run_id) == (TaskInstanceState.FAILED, "run-1")
    assert "give the task another queue" in reason


def test_what_the_scheduler_itself_ends_keeps_the_run_id_that_it_named(make_executor: MakeExecutor) -> None:
    executor = make_executor(cls=NewerHybridExecutor)
    task = make_newer_task(run_id="run-1")
    queue(executor, task)
    executor.heartbeat()
    executor.fail(task.ti.key, "gone", workload_run_id="run-0")
    assert executor.get_event_buffer() == {task.ti.key: (TaskInstanceState.FAILED, "gone", "run-0")}
    assert executor.running == set()


def test_events_of_tasks_beside_the_scheduler_have_three_parts_too(make_executor: MakeExecutor) -> None:
    executor = make_executor(cls=NewerLocalKubernetesExecutor, hybrid_executor__routes="*=local", core__parallelism="1")
    events: dict[Any, Any] = {}
    try:
        task = make_task()
        queue(executor, task)

        def has_ended() -> bool:
            executor.heartbeat()
            events.update(executor.get_event_buffer())
            return task.ti.key in events

        wait_until(has_ended, what=lambda: executor.running)
    finally:
        executor.end()
    assert len(events[task.ti.key]) == 3
    assert executor.running == set()
