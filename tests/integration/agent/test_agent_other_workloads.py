"""Callbacks and connection tests become pods where the route of their queue says so."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from airflow.executors import workloads
from airflow.executors.workloads.callback import CallbackDTO
from pydantic import TypeAdapter

from hybrid_executor.states import State
from tests.integration.conftest import QUEUE_OF_PODS

from .conftest import World, wait_until


def callback() -> Any:
    dto = CallbackDTO(
        id=str(uuid.uuid4()), fetch_method="import_path", data={"path": "a.b", "queue": QUEUE_OF_PODS, "dag_id": "d"}
    )
    bundle = workloads.BundleInfo(name="dags")
    return workloads.ExecuteCallback(
        callback=dto, dag_rel_path="dag.py", bundle_info=bundle, log_path="log", token="token"
    )


def connection_test() -> Any:
    return workloads.TestConnection(
        connection_test_id=uuid.uuid4(), connection_id="db", timeout=30, queue=QUEUE_OF_PODS, token="token"
    )


@pytest.mark.parametrize(
    ("make", "kind"), [(callback, "callback"), (connection_test, "connection_test")], ids=["callback", "connection"]
)
def test_it_runs_in_a_pod_with_airflows_own_entry_point_and_its_end_is_reported(
    world: World, make_executor: Callable[..., Any], make: Callable[[], Any], kind: str
) -> None:
    executor = make_executor()
    workload = make()
    executor.queue_workload(workload, session=None)
    executor.heartbeat()
    [attempt] = world.store.attempts.live("kubernetes")
    # No watcher yet, so that the pod can be looked at.
    lease = world.store.leases.take("watch:default:default", holder="nobody", seconds=600)
    assert lease is not None
    world.start_agent(is_watching=False)
    world.wait_for(State.PENDING, [attempt])
    [pod] = world.pods()
    assert pod["metadata"]["labels"]["hybrid-executor/kind"] == kind
    arguments = pod["spec"]["containers"][0]["args"]
    assert arguments[:4] == ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string"]
    assert TypeAdapter(workloads.All).validate_json(arguments[4]) == workload
    world.store.leases.release(lease)
    world.wait_for(State.SUCCEEDED, [attempt])

    def events() -> list[str]:
        executor.heartbeat()
        return [state.value for state, _ in executor.get_event_buffer().values()]

    assert wait_until(events)[-1] == "success"
    wait_until(lambda: not world.pods(), what="no pod left")
