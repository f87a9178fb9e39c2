"""The new executor and routes: each task keeps the pool where it ran."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_executor.errors import ConfigError
from hybrid_executor.migration.executors import Executors, parse_executors
from hybrid_executor.migration.plan import Target, make_plan
from hybrid_executor.routing import Routes, parse_routes

CELERY = "airflow.providers.celery.executors.celery_executor.CeleryExecutor"
PODS = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"

NEW_EXECUTORS = {
    "CeleryKubernetesExecutor": "hybrid_executor.HybridExecutor",
    "airflow.executors.celery_kubernetes_executor.CeleryKubernetesExecutor": "hybrid_executor.HybridExecutor",
    "LocalKubernetesExecutor": "hybrid_executor.LocalKubernetesExecutor",
    "CeleryExecutor": "hybrid_executor.HybridExecutor",
    CELERY: "hybrid_executor.HybridExecutor",
    "KubernetesExecutor": "hybrid_executor.KubernetesExecutor",
    "CeleryExecutor,KubernetesExecutor": "hybrid_executor.HybridExecutor",
    f"workers:{CELERY}, pods:{PODS}": "hybrid_executor.HybridExecutor",
    "workers:CeleryExecutor,pods:KubernetesExecutor": "hybrid_executor.HybridExecutor",
    "KubernetesExecutor,CeleryExecutor;etl=LocalExecutor": "hybrid_executor.HybridExecutor;etl=LocalExecutor",
    "LocalExecutor,KubernetesExecutor": "hybrid_executor.LocalKubernetesExecutor",
    "CeleryExecutor,a.b.EcsExecutor,KubernetesExecutor": "hybrid_executor.HybridExecutor,a.b.EcsExecutor",
    "LocalExecutor,CeleryExecutor,KubernetesExecutor": "LocalExecutor,hybrid_executor.HybridExecutor",
    "a.b.EcsExecutor,KubernetesExecutor": "a.b.EcsExecutor,hybrid_executor.KubernetesExecutor",
}


@pytest.mark.parametrize(("text", "new"), NEW_EXECUTORS.items())
def test_one_executor_replaces_what_it_can_and_the_others_stay(text: str, new: str) -> None:
    plan = make_plan(parse_executors(text), ())
    assert plan is not None
    assert plan.executor == new


@pytest.mark.parametrize("text", ["LocalExecutor", "SequentialExecutor", "my.own.CeleryExecutor", "a.b.EcsExecutor"])
def test_an_executor_that_is_none_of_these_is_not_replaced(text: str) -> None:
    assert make_plan(parse_executors(text), ()) is None


@pytest.mark.parametrize("text", ["", ",", "a:b:c.D", "name:", "etl=CeleryExecutor", "A.B,A.B", "a=X;CeleryExecutor"])
def test_a_list_that_airflow_refuses_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[core\] executor"):
        parse_executors(text)


def test_tasks_may_mean_an_executor_by_alias_path_or_class() -> None:
    executors = parse_executors(f"CeleryExecutor,pods:{PODS}")
    assert {executors.pool_of(name, None) for name in ("pods", PODS, "KubernetesExecutor")} == {"kubernetes"}
    assert executors.pool_of(None, "any") == executors.pool_of("CeleryExecutor", None) == "celery"
    assert executors.pool_of("unknown", None) == ""


def test_a_queue_that_only_tasks_of_the_other_executor_use_stays() -> None:
    old = parse_executors("CeleryExecutor,KubernetesExecutor")
    asked = {("", "etl"), ("KubernetesExecutor", "big"), ("KubernetesExecutor", "etl"), ("KubernetesExecutor", None)}
    plan = make_plan(old, asked)
    assert plan is not None
    assert plan.routes == "kubernetes=kubernetes, big=kubernetes, *=celery"
    assert plan.targets["KubernetesExecutor", "big"] == Target("big")
    assert plan.targets["KubernetesExecutor", "etl"] == Target("kubernetes")
    assert plan.targets["KubernetesExecutor", None] == Target("kubernetes")


def test_workers_get_a_queue_where_pods_are_the_default() -> None:
    old = parse_executors("KubernetesExecutor,CeleryExecutor")
    asked = {("", "default"), ("CeleryExecutor", None), ("CeleryExecutor", "etl"), ("", "shared")}
    plan = make_plan(old, asked | {("CeleryExecutor", "shared")})
    assert plan is not None
    assert plan.targets["CeleryExecutor", None] == Target("celery")
    assert plan.targets["CeleryExecutor", "etl"] == Target("etl")
    assert plan.targets["CeleryExecutor", "shared"] == Target("shared-celery")


NAMES = st.sampled_from(["default", "kubernetes", "celery", "local", "etl", "a,b", "x=y", "gpu*", "[1]", "q-celery"])
FORMS = st.sampled_from([text for text in NEW_EXECUTORS if "Ecs" not in text])


@given(form=FORMS, queues=st.lists(st.tuples(st.integers(0, 3), st.none() | NAMES), max_size=8), pods=NAMES)
def test_no_task_changes_its_pool(form: str, queues: list[tuple[int, str | None]], pods: str) -> None:
    pods = pods if pods.isalnum() else "pods"
    old = parse_executors(form, kubernetes_queue=pods)
    names = ["", *sorted(name for entry in old.entries for name in entry.names)]
    asked = {(names[number % len(names)], queue) for number, queue in queues}
    plan = make_plan(old, asked)
    assert plan is not None
    routes = _routes_of(old, plan.class_path, plan.routes, pods)
    for name, queue in asked:
        if old.find(name) in plan.replaced:
            target = plan.targets.get((name, queue), Target(queue))
            assert routes.find(target.queue or old.default_queue).pool == old.pool_of(name, queue)


def _routes_of(old: Executors, class_path: str, text: str, pods: str) -> Routes:
    """Return the routes as the executor reads them."""
    from hybrid_executor.config.options import DictConfig
    from hybrid_executor.config.settings import read_settings
    from hybrid_executor.config.shape import shape_of

    sections = {
        "hybrid_executor": {"routes": text},
        "celery_kubernetes_executor": {"kubernetes_queue": pods},
        "local_kubernetes_executor": {"kubernetes_queue": pods},
    }
    shape = shape_of(class_path)
    assert shape is not None
    if text:
        parse_routes(text, profiles=())
    return read_settings(DictConfig(sections), shape=shape).routes
