"""Where the tasks of Dags go."""

from __future__ import annotations

from typing import Any

from hybrid_executor.cli.dag_routes import route_tasks
from hybrid_executor.compat.dag_files import TaskOnDisk
from hybrid_executor.routing import parse_routes

ROUTES = parse_routes(
    "kubernetes=kubernetes, gpu-*=kubernetes:gpu, elastic=celery(wait=20s) > kubernetes, "
    "pods-only=kubernetes:gpu(max=2) > kubernetes, *=celery",
    profiles=["gpu"],
)
EXECUTORS = [
    frozenset({"HybridExecutor", "hybrid_executor.HybridExecutor"}),
    frozenset({"LocalExecutor", "airflow.executors.local_executor.LocalExecutor"}),
]


def route(*, is_default: bool = True, **fields: Any) -> dict[str, Any]:
    values = {"dag_id": "d", "task_id": "t", "queue": "default", "executor": "", "has_executor_config": False, **fields}
    [row] = route_tasks([TaskOnDisk(**values)], ROUTES, executors=EXECUTORS, is_default=is_default)
    return row


def test_a_task_goes_where_the_first_route_that_matches_its_queue_leads() -> None:
    row = route(queue="gpu-a", has_executor_config=True)
    assert (row["pool"], row["profile"], row["because of"]) == ("kubernetes", "gpu", "gpu-*=kubernetes:gpu")
    assert row["warnings"] == []


def test_an_executor_config_that_workers_ignore_is_a_warning() -> None:
    [words] = route(has_executor_config=True)["warnings"]
    assert words.startswith("executor_config is ignored, since the queue default goes to the pool celery")


def test_an_executor_config_on_a_route_that_may_put_the_task_on_workers_is_a_warning() -> None:
    [words] = route(queue="elastic", has_executor_config=True)["warnings"]
    assert words.startswith("executor_config is ignored when a task of queue elastic goes to celery: check that image")
    assert route(queue="pods-only", has_executor_config=True)["warnings"] == []
    assert route(queue="elastic")["warnings"] == []


def test_a_task_of_another_executor_has_no_pool_here_and_one_of_an_unknown_executor_is_a_warning() -> None:
    assert (route(executor="LocalExecutor")["pool"], route(executor="LocalExecutor")["warnings"]) == ("", [])
    assert route(executor="HybridExecutor")["pool"] == "celery"
    assert route(is_default=False)["because of"] == "[core] executor: another executor"
    assert route(is_default=False, executor="HybridExecutor")["pool"] == "celery"
    [words] = route(executor="CeleryKubernetesExecutor")["warnings"]
    assert words == (
        "executor='CeleryKubernetesExecutor' names no configured executor, so Airflow refuses the Dag: remove it, or "
        "add the executor to [core] executor (now airflow.executors.local_executor.LocalExecutor, "
        "hybrid_executor.HybridExecutor)."
    )
