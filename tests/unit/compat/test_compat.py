"""What differs between Airflow releases, on objects shaped like those of the other releases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_executor import compat
from hybrid_executor.errors import ConfigError
from tests.integration.conftest import make_task


class UnknownWorkload:
    """A kind of workload that a later release has."""

    key = "a-key"
    failure_state = "failed"

    def model_dump_json(self) -> str:
        return "{}"


def executor_with(**queues: Any) -> Any:
    return SimpleNamespace(**queues)


def test_a_workload_is_read_once_and_whole() -> None:
    task = make_task("t", queue="", map_index=3, try_number=2, attempt="an-attempt", executor_config={"a": 1})
    read = compat.read_workload(task)
    assert (read.kind, read.key, read.id) == ("task", task.ti.key, str(task.ti.id))
    assert (read.queue, read.pre_assigned_id, read.workload_run_id) == ("", "an-attempt", "")
    assert read.executor_config == {"a": 1}
    assert read.fields == {
        "kind": "task",
        "key": str(task.ti.id),
        "dag_id": "dag",
        "task_id": "t",
        "run_id": "run",
        "map_index": 3,
        "try_number": 2,
    }
    assert "a-secret-token" not in repr(read)


def test_a_workload_of_an_unknown_kind_is_named() -> None:
    assert not compat.is_known(UnknownWorkload())
    with pytest.raises(TypeError, match="unknown kind of workload: UnknownWorkload"):
        compat.read_workload(UnknownWorkload())
    assert compat.failed_event(UnknownWorkload()) == ("a-key", "failed")
    assert compat.failed_event(object()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("by_type", [True, False])
def test_waiting_workloads_are_found_in_the_queues_of_each_release(by_type: bool) -> None:
    low, high, unknown = make_task("low"), make_task("high", priority_weight=9), UnknownWorkload()
    tasks = {task.ti.key: task for task in (low, high)}
    others = {"other": unknown}
    executor = (
        executor_with(executor_queues={"ExecuteTask": tasks, "Other": others})
        if by_type
        else executor_with(queued_tasks=tasks, queued_callbacks=others)
    )
    compat.check_queues(executor)
    assert [workload for _, workload in compat.queued_workloads(executor)] == [unknown, high, low]
    assert compat.count_queued(executor) == 3
    assert compat.is_queued(executor, low.ti.key)
    assert compat.drop_queued(executor, low.ti.key)
    assert not compat.drop_queued(executor, low.ti.key)
    assert compat.count_queued(executor) == 2


def test_an_executor_base_with_unknown_queues_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"Airflow [\d.a-z]+ is not supported .* executor_queues .* Install a newer"):
        compat.check_queues(executor_with(all_queues={}))


@pytest.mark.parametrize(
    ("value", "run_id"), [(("success", "why"), ""), (("success", "why", None), ""), (("success", "why", "r"), "r")]
)
def test_events_have_two_parts_or_three(value: tuple[Any, ...], run_id: str) -> None:
    assert compat.unpack_event(value) == ("success", "why", run_id)
