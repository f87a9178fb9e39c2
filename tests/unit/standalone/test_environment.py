"""What the components of one machine are told."""

from __future__ import annotations

from pathlib import Path

from hybrid_executor.standalone.environment import (
    Addresses,
    clean_environment,
    component_environment,
    pod_environment,
)

ADDRESSES = Addresses(
    api_port=1234,
    worker_log_port=1235,
    trigger_log_port=1236,
    redis_url="redis://:pw@127.0.0.1:1/0",
    broker_url="redis://:pw@127.0.0.1:1/0",
    kubeconfig=Path("/state/kubeconfig"),
)


def environment(addresses: Addresses = ADDRESSES, **options: str) -> dict[str, str]:
    return component_environment(
        {"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1", "AIRFLOW__API__PORT": "9"},
        addresses,
        executor="hybrid_executor.HybridExecutor",
        passwords_file=Path("/state/passwords.json"),
        options=options,
    )


def test_all_components_find_the_api_server_redis_and_the_cluster() -> None:
    told = environment()
    assert told["AIRFLOW__API__PORT"] == "1234"
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:1234/execution/"
    assert told["AIRFLOW__HYBRID_EXECUTOR__REDIS_URL"] == told["AIRFLOW__CELERY__BROKER_URL"] == ADDRESSES.redis_url
    assert told["AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE"] == "/state/kubeconfig"
    assert told["AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER"] == "False"


def test_the_ui_listens_on_loopback_only() -> None:
    assert environment()["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_bytecode_is_written_and_the_rest_of_the_environment_stays() -> None:
    told = environment()
    assert "PYTHONDONTWRITEBYTECODE" not in told
    assert told["PATH"] == "/bin"


def test_options_win_over_what_is_derived() -> None:
    assert environment(AIRFLOW__CORE__EXECUTOR="LocalExecutor")["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_what_is_configured_elsewhere_is_not_told() -> None:
    told = environment(Addresses(api_port=1, worker_log_port=2, trigger_log_port=3))
    assert not [name for name in told if "REDIS_URL" in name or "BROKER_URL" in name or "KUBERNETES" in name]


def test_addresses_do_not_show_the_password() -> None:
    assert "pw" not in repr(ADDRESSES)


def test_a_clean_environment_configures_no_other_airflow_and_no_other_cluster() -> None:
    dirty = {
        "AIRFLOW_HOME": "/a",
        "AIRFLOW__X__Y": "1",
        "KUBECONFIG": "/k",
        "KUBERNETES_SERVICE_HOST": "h",
        "HOME": "/",
    }
    assert clean_environment(dirty) == {"HOME": "/"}


def test_pods_are_told_neither_of_redis_nor_of_the_database_nor_any_secret_of_the_components() -> None:
    told = pod_environment(environment(AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="x", AIRFLOW__API_AUTH__JWT_SECRET="y"))
    assert "AIRFLOW__CORE__EXECUTION_API_SERVER_URL" in told
    assert not [name for name, value in told.items() if "pw" in value or value in ("x", "y")]
