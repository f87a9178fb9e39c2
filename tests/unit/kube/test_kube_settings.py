"""The ``[kubernetes_executor]`` section: every documented option, its default, and what is said of wrong values."""

from __future__ import annotations

import pytest

from hybrid_executor.config.kubernetes import KUBERNETES_OPTIONS, KubernetesSettings, read_kubernetes_settings
from hybrid_executor.config.options import DictConfig
from hybrid_executor.errors import ConfigError

DOCUMENTED = {
    "api_client_retry_configuration",
    "async_client_factory",
    "async_pod_creation",
    "client_factory",
    "cluster_context",
    "config_file",
    "delete_option_kwargs",
    "delete_worker_pods",
    "delete_worker_pods_on_failure",
    "enable_tcp_keepalive",
    "in_cluster",
    "kube_client_request_args",
    "logs_task_metadata",
    "multi_namespace_mode",
    "multi_namespace_mode_namespace_list",
    "namespace",
    "pod_creation_max_concurrency",
    "pod_launch_failure_excluded_container_reasons",
    "pod_launch_failure_retries",
    "pod_template_file",
    "running_pod_log_lines",
    "ssl_ca_cert",
    "task_publish_max_retries",
    "tcp_keep_cnt",
    "tcp_keep_idle",
    "tcp_keep_intvl",
    "termination_grace_period_seconds",
    "verify_ssl",
    "worker_container_repository",
    "worker_container_tag",
    "worker_pod_pending_fatal_container_state_reasons",
    "worker_pods_creation_batch_size",
}


def read(**options: str) -> KubernetesSettings:
    return read_kubernetes_settings(DictConfig({"kubernetes_executor": options}))


def test_every_documented_option_is_declared_once() -> None:
    names = [option.name for option in KUBERNETES_OPTIONS]
    assert sorted(names) == sorted(DOCUMENTED)
    assert all(option.section == "kubernetes_executor" and option.description for option in KUBERNETES_OPTIONS)


def test_an_empty_configuration_gives_the_defaults_of_the_dataclass() -> None:
    assert read() == KubernetesSettings()


def test_the_file_of_a_running_deployment_is_read_in_its_types() -> None:
    settings = read(
        api_client_retry_configuration='{"total": 3, "backoff_factor": 0.5}',
        namespace="airflow",
        worker_container_repository="apache/airflow",
        worker_container_tag="3.3.2",
        delete_worker_pods="False",
        multi_namespace_mode="True",
        multi_namespace_mode_namespace_list="a, b,",
        kube_client_request_args='{"_request_timeout": [60, 90], "field_manager": "me", "_preload_content": false}',
        delete_option_kwargs='{"grace_period_seconds": 10, "propagation_policy": "Foreground"}',
        worker_pod_pending_fatal_container_state_reasons="InvalidImageName, ErrImageNeverPull",
    )
    assert settings.retry_arguments == {"total": 3, "backoff_factor": 0.5}
    assert settings.image == "apache/airflow:3.3.2"
    assert settings.delete_worker_pods is False
    assert settings.watched_namespaces == ("a", "b", "airflow")
    assert settings.request_timeout == (60.0, 90.0)
    assert settings.request_query == (("fieldManager", "me"),)
    assert settings.delete_options == {"gracePeriodSeconds": 10, "propagationPolicy": "Foreground"}
    assert settings.fatal_pending_reasons == {"InvalidImageName", "ErrImageNeverPull"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 16),
        ({"worker_pods_creation_batch_size": "1"}, 16),
        ({"worker_pods_creation_batch_size": "64"}, 64),
        ({"pod_creation_max_concurrency": "4", "worker_pods_creation_batch_size": "64"}, 4),
        ({"async_pod_creation": "False"}, 16),
    ],
)
def test_options_of_the_old_loop_never_lower_the_launch_concurrency_by_default(
    options: dict[str, str], expected: int
) -> None:
    assert read(**options).launch_concurrency == expected


def test_multi_namespace_mode_without_a_list_watches_the_whole_cluster() -> None:
    assert read(multi_namespace_mode="True").watched_namespaces == (None,)
    assert read(multi_namespace_mode_namespace_list="a,b").watched_namespaces == ("default",)


def test_the_termination_grace_period_is_used_unless_delete_option_kwargs_has_one() -> None:
    assert read(termination_grace_period_seconds="20").delete_options == {"gracePeriodSeconds": 20}
    both = read(termination_grace_period_seconds="20", delete_option_kwargs='{"grace_period_seconds": 5}')
    assert both.delete_options == {"gracePeriodSeconds": 5}
    assert read().delete_options == {}


@pytest.mark.parametrize(
    ("configured", "failures", "again"),
    [("", 1000, True), ("0", 1, False), ("2", 2, True), ("2", 3, False), ("-1", 1000, True)],
)
def test_publish_retries_are_counted_as_configured(configured: str, failures: int, again: bool) -> None:
    assert read(task_publish_max_retries=configured).may_publish_again(failures) is again


@pytest.mark.parametrize(
    ("configured", "launches", "again"), [("", 1, True), ("", 2, False), ("0", 1, False), ("-1", 9, True)]
)
def test_launch_retries_are_counted_as_configured(configured: str, launches: int, again: bool) -> None:
    assert read(pod_launch_failure_retries=configured).may_launch_again(launches) is again


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("running_pod_log_lines", "0", "at least 1"),
        ("running_pod_log_lines", "many", "a whole number"),
        ("task_publish_max_retries", "-2", "at least -1"),
        ("pod_launch_failure_retries", "-2", "at least -1"),
        ("delete_worker_pods", "perhaps", "True or False"),
        ("kube_client_request_args", "[1]", "a JSON object"),
        ("kube_client_request_args", "{", "a JSON object"),
        ("kube_client_request_args", '{"_request_timeout": [1, 2, 3]}', "[connect, read]"),
        ("kube_client_request_args", '{"_request_timeout": "soon"}', "[connect, read]"),
        ("kube_client_request_args", '{"_request_timeout": [0, 5]}', "[connect, read]"),
        ("kube_client_request_args", '{"pretty": {}}', "text, a number or true/false for 'pretty'"),
        ("delete_option_kwargs", '"x"', "a JSON object"),
        ("api_client_retry_configuration", "3", "a JSON object"),
        ("worker_pods_creation_batch_size", "0", "at least 1"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_option_and_remedy(option: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{option: value})
    assert f"[kubernetes_executor] {option}" in str(caught.value)
    assert allowed in str(caught.value)


def test_an_image_repository_without_a_tag_is_an_error_and_so_is_a_tag_alone() -> None:
    with pytest.raises(ConfigError, match=r"worker_container_tag.*the tag of the image apache/airflow"):
        read(worker_container_repository="apache/airflow")
    with pytest.raises(ConfigError, match=r"worker_container_repository.*the repository of the tag 3\.3\.2"):
        read(worker_container_tag="3.3.2")


def test_one_number_is_a_timeout_for_the_whole_call() -> None:
    assert read(kube_client_request_args='{"_request_timeout": 7}').request_timeout == 7.0


def test_an_image_that_is_never_pulled_is_fatal_unless_another_list_is_configured() -> None:
    upstream = "CreateContainerConfigError,ErrImagePull,CreateContainerError,ImageInspectError, InvalidImageName"
    option = "worker_pod_pending_fatal_container_state_reasons"
    assert "ErrImageNeverPull" in read().fatal_pending_reasons
    assert read(**{option: upstream}) == read()
    assert read(**{option: "ErrImagePull"}).fatal_pending_reasons == {"ErrImagePull"}
