"""What ``airflow hybrid standalone`` starts: only what is not configured already."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.config.shape import shape_of
from hybrid_executor.errors import ConfigError
from hybrid_executor.standalone.configured import has_cluster, plan_standalone
from hybrid_executor.standalone.environment import Addresses, component_environment, pod_environment
from hybrid_executor.standalone.local_airflow import Plan


def plan(
    sections: dict[str, dict[str, str]] | None = None,
    environment: dict[str, str] | None = None,
    *,
    queues: str | None = None,
    missing_images: tuple[str, ...] = (),
    port: int | None = None,
    knows_hosts: bool = True,
) -> Plan:
    return plan_standalone(
        DictConfig(sections),
        environment or {},
        home=Path("/home/airflow"),
        port=port,
        queues=queues,
        concurrency=2,
        missing_images=missing_images,
        has_address=lambda url: knows_hosts,
    )


def test_with_nothing_configured_everything_is_started() -> None:
    made = plan()
    assert made.executor == "hybrid_executor.HybridExecutor"
    assert made.redis is None
    assert made.uses_our_broker
    assert made.runs_sandbox
    assert made.worker_queues == "default"
    assert made.port == 8080
    assert made.has_own_login
    assert made.state_dir == Path("/home/airflow/hybrid")


def test_an_executor_that_is_not_ours_is_replaced() -> None:
    assert plan({"core": {"executor": "LocalExecutor"}}).executor == "hybrid_executor.HybridExecutor"


@pytest.mark.parametrize("path", ["hybrid_executor.KubernetesExecutor", "k:hybrid_executor.KubernetesExecutor"])
def test_an_executor_of_ours_is_kept_and_decides_what_is_needed(path: str) -> None:
    made = plan({"core": {"executor": path}})
    assert made.executor == path
    assert made.worker_queues is None
    assert made.runs_sandbox


def test_a_configured_redis_is_used_for_broker_and_store() -> None:
    made = plan({"celery": {"broker_url": "redis://redis.example:6379/1"}})
    assert made.redis is not None
    assert made.redis.url == "redis://redis.example:6379/1"
    assert not made.uses_our_broker


def test_the_broker_that_airflow_writes_into_every_generated_file_counts_only_if_its_host_is_known() -> None:
    generated = {"celery": {"broker_url": "redis://redis:6379/0"}}
    without = plan(generated, knows_hosts=False)
    assert without.redis is None
    assert without.uses_our_broker
    within = plan(generated, knows_hosts=True)
    assert within.redis is not None
    assert not within.uses_our_broker


def test_a_broker_that_is_no_redis_is_kept_and_only_the_store_is_embedded() -> None:
    made = plan({"celery": {"broker_url": "amqp://broker.example//"}})
    assert made.redis is None
    assert not made.uses_our_broker


@pytest.mark.parametrize(
    ("sections", "environment"),
    [
        ({"kubernetes_executor": {"config_file": "/root/.kube/config"}}, {}),
        ({}, {"KUBECONFIG": "/root/.kube/config"}),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    ],
)
def test_a_configured_cluster_is_used(sections: dict[str, dict[str, str]], environment: dict[str, str]) -> None:
    assert has_cluster(DictConfig(sections), environment)
    assert not plan(sections, environment).runs_sandbox


def test_inside_of_a_pod_the_cluster_counts_only_if_it_is_wanted() -> None:
    outside = DictConfig({"kubernetes_executor": {"in_cluster": "False"}})
    assert not has_cluster(outside, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_without_a_kubernetes_route_no_sandbox_is_started() -> None:
    assert not plan({"hybrid_executor": {"routes": "*=celery"}}).runs_sandbox


def test_the_worker_serves_the_default_queue_and_every_queue_that_a_route_names() -> None:
    routes = {"hybrid_executor": {"routes": "kubernetes=kubernetes, mail=celery, big-*=celery, *=celery"}}
    assert plan(routes).worker_queues == "default,mail"
    assert plan(routes, queues="mail,big-1").worker_queues == "mail,big-1"


def test_pods_get_an_image_only_where_none_is_configured() -> None:
    option = "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY"
    assert plan().options[option] == "apache/airflow"
    assert option not in plan({"kubernetes_executor": {"pod_template_file": "/pod.yaml"}}).options


def test_all_components_share_the_secrets_that_are_configured() -> None:
    made = plan({"api_auth": {"jwt_secret": "s"}, "core": {"fernet_key": "f"}})
    assert made.options["AIRFLOW__API_AUTH__JWT_SECRET"] == "s"
    assert made.options["AIRFLOW__CORE__FERNET_KEY"] == "f"


def test_components_share_a_secret_for_tokens_where_none_is_configured() -> None:
    made = plan({})
    assert len(made.options["AIRFLOW__API_AUTH__JWT_SECRET"]) == 64


def test_no_secret_is_made_where_tokens_are_signed_with_a_key_file() -> None:
    made = plan({"api_auth": {"jwt_secret": "s", "jwt_private_key_path": "/key.pem"}})
    assert "AIRFLOW__API_AUTH__JWT_SECRET" not in made.options


def test_an_address_of_the_execution_api_that_pods_can_reach_is_kept() -> None:
    url = "http://host.docker.internal:8080/execution/"
    made = plan({"core": {"execution_api_server_url": url}})
    assert made.options["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == url


@pytest.mark.parametrize(
    "core",
    [
        {"auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"},
        {"simple_auth_manager_users": "eve:viewer"},
        {"simple_auth_manager_all_admins": "True"},
    ],
)
def test_a_login_that_is_configured_stays_as_it_is(core: dict[str, str]) -> None:
    assert not plan({"core": core}).has_own_login


@pytest.mark.parametrize(
    ("executor", "shape"),
    [
        ("hybrid_executor.HybridExecutor", "hybrid"),
        ("hybrid_executor.executor.HybridExecutor", "hybrid"),
        ("LocalExecutor,hybrid_executor.HybridExecutor", None),
        ("hybrid_executor.LocalKubernetesExecutor;team=LocalExecutor", "local_kubernetes"),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", None),
    ],
)
def test_the_first_executor_decides(executor: str, shape: str | None) -> None:
    assert shape_of(executor) == shape


ROUTES = "AIRFLOW__HYBRID_EXECUTOR__ROUTES"


def test_queues_for_gpus_go_to_pods_as_the_readme_says() -> None:
    assert plan().options[ROUTES] == "kubernetes=kubernetes, gpu-*=kubernetes, *=celery"
    local = plan({"core": {"executor": "hybrid_executor.LocalKubernetesExecutor"}})
    assert local.options[ROUTES] == "kubernetes=kubernetes, gpu-*=kubernetes, *=local"


def test_a_profile_for_gpus_is_used_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("gpu: {namespace: gpus}")
    made = plan({"hybrid_executor": {"profiles_file": str(file)}})
    assert made.options[ROUTES] == "kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery"


@pytest.mark.parametrize(
    "sections",
    [
        {"hybrid_executor": {"routes": "pods=kubernetes, *=celery"}},
        {"core": {"executor": "hybrid_executor.KubernetesExecutor"}},
        {"celery_kubernetes_executor": {"kubernetes_queue": "g*"}},
    ],
)
def test_routes_that_are_configured_stay(sections: dict[str, dict[str, str]]) -> None:
    assert ROUTES not in plan(sections).options


@pytest.mark.parametrize(
    ("configured", "told"),
    [({}, "60"), ({"execution_api_timeout": "5.0"}, "60"), ({"execution_api_timeout": "20"}, None)],
)
def test_tasks_wait_for_a_busy_api_server_unless_a_time_is_configured(
    configured: dict[str, str], told: str | None
) -> None:
    assert plan({"workers": configured}).options.get("AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT") == told


def test_missing_images_are_for_the_sandbox() -> None:
    assert plan(missing_images=("*:typo",)).missing_images == ("*:typo",)


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"kubernetes_executor": {"config_file": "/root/.kube/config"}}, "a cluster is configured"),
        ({"hybrid_executor": {"routes": "*=celery"}}, "no route goes to kubernetes"),
    ],
)
def test_missing_images_of_a_cluster_that_is_not_ours_are_an_error(
    sections: dict[str, dict[str, str]], why: str
) -> None:
    with pytest.raises(ConfigError, match=f"--missing-image.*{why}.*Leave them out"):
        plan(sections, missing_images=("*:typo",))


def test_each_team_gets_what_its_own_configuration_needs() -> None:
    ours = "hybrid_executor.HybridExecutor"
    core = {"core": {"executor": f"LocalExecutor;red={ours};blue={ours};green=CeleryExecutor", "multi_team": "True"}}
    of_team = {
        "red": {"hybrid_executor": {"routes": "etl=celery, *=celery"}},
        "blue": {"hybrid_executor": {"routes": "*=kubernetes", "redis_url": "redis://blue/0"}},
    }
    made = plan_standalone(
        DictConfig(core),
        {},
        home=Path("/home/airflow"),
        port=None,
        queues=None,
        concurrency=2,
        conf_of=lambda team: DictConfig({**core, **of_team[team]}, team=team),
    )
    assert made.executor == core["core"]["executor"]
    assert (made.worker_queues, made.runs_sandbox) == (None, True)
    red, blue = made.teams
    assert (red.name, red.instance, red.redis, red.worker_queues, red.runs_sandbox) == (
        *("red", "airflow-red", None, "default,etl", False),
    )
    assert (blue.name, blue.worker_queues, blue.runs_sandbox) == ("blue", None, True)
    assert blue.redis is not None
    assert blue.redis.url == "redis://blue/0"
    addresses = Addresses(
        api_port=1, worker_log_port=2, trigger_log_port=3, redis_url="redis://:secret@own/0", kubeconfig=Path("/kube")
    )
    told = component_environment(
        {}, addresses, executor=made.executor, passwords_file=None, options=made.options, teams=made.teams
    )
    assert told["AIRFLOW__RED___HYBRID_EXECUTOR__REDIS_URL"] == "redis://:secret@own/0"
    assert "AIRFLOW__BLUE___HYBRID_EXECUTOR__REDIS_URL" not in told
    assert told["AIRFLOW__BLUE___KUBERNETES_EXECUTOR__CONFIG_FILE"] == "/kube"
    assert "AIRFLOW__RED___KUBERNETES_EXECUTOR__CONFIG_FILE" not in told
    assert "secret" not in str(pod_environment(told))
