"""Options are read once, with defaults of their own, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.configuration import AirflowConfigParser
from airflow.secrets import BaseSecretsBackend

from hybrid_executor.config import AirflowConfig, DictConfig, airflow_config, read_settings
from hybrid_executor.config.table import HYBRID_OPTIONS
from hybrid_executor.errors import ConfigError


def config(**options: str) -> DictConfig:
    return DictConfig({"hybrid_executor": options, "celery": {"broker_url": "redis://broker/0"}})


def test_nothing_needs_to_be_set_in_an_existing_celery_deployment() -> None:
    settings = read_settings(config())
    assert settings.require_redis().url == "redis://broker/0"
    assert settings.broker_is_store
    assert str(settings.routes) == "kubernetes=kubernetes, *=celery"
    assert settings.parallelism == {"celery": 32, "kubernetes": 32, "local": 32}


def test_the_old_kubernetes_queue_gives_the_routes() -> None:
    conf = DictConfig(
        {
            "celery_kubernetes_executor": {"kubernetes_queue": "pods"},
            "local_kubernetes_executor": {"kubernetes_queue": "k"},
        }
    )
    assert str(read_settings(conf).routes) == "pods=kubernetes, *=celery"
    assert str(read_settings(conf, shape="local_kubernetes").routes) == "k=kubernetes, *=local"
    assert str(read_settings(conf, shape="kubernetes").routes) == "*=kubernetes"


def test_without_any_redis_the_ways_out_are_named() -> None:
    settings = read_settings(DictConfig({"celery": {"broker_url": "amqp://guest@rabbit//"}}))
    with pytest.raises(ConfigError, match=r"redis_url.*broker_url.*airflow hybrid standalone"):
        settings.require_redis()


def test_the_broker_that_airflow_generates_counts_only_where_its_host_exists() -> None:
    generated = DictConfig({"celery": {"broker_url": "redis://redis:6379/0"}})
    with pytest.raises(ConfigError, match=r"No Redis is configured \(the host of redis://redis:6379/0, .*redis_url"):
        read_settings(generated).require_redis()


def test_a_redis_of_its_own_stands_beside_the_broker() -> None:
    settings = read_settings(config(redis_url="rediss://state:6380/1", redis_options='{"ssl_ca_certs": "/ca"}'))
    assert settings.require_redis().options == {"ssl_ca_certs": "/ca"}
    assert not settings.broker_is_store


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"agent": "thread"}, r"\[hybrid_executor\] agent = 'thread'.*one of child, external, none"),
        ({"celery_parallelism": "many"}, "celery_parallelism = 'many'.*a whole number"),
        ({"record_retention": "5"}, "record_retention = '5'.*at least 600"),
        ({"redis_options": "[1]"}, "redis_options.*a JSON object"),
        ({"redis_options": "{"}, "redis_options.*a JSON object"),
        ({"redis_url": "http://host"}, "redis_url.*redis://"),
        ({"routes": "*=celery, a=local"}, "can never match"),
        ({"profiles_file": "/nowhere.yaml"}, "/nowhere.yaml.*readable file"),
    ],
)
def test_a_wrong_value_names_its_option_and_what_to_write(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_settings(config(**options))


def test_a_password_in_a_wrong_value_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(config(redis_url="http://:swordfish@host"))
    assert "swordfish" not in str(caught.value)
    assert "swordfish" not in repr(read_settings(config(redis_url="redis://:swordfish@host")))


def test_the_local_executor_has_no_celery_pool() -> None:
    with pytest.raises(ConfigError, match="LocalKubernetesExecutor has no Celery pool"):
        read_settings(config(routes="*=celery"), shape="local_kubernetes")


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "profiles.yaml"
    file.write_text(text)
    return str(file)


def test_profiles_name_clusters_and_pod_settings(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "gpu: {namespace: gpu, executor_config: {KubernetesExecutor: {image: i}}}\nfar: {cluster_context: far-away}\n",
    )
    routes = "g=kubernetes:gpu, f=kubernetes:far, *=celery"
    settings = read_settings(config(profiles_file=path, routes=routes))
    assert settings.profile_of(settings.routes.find("g")).namespace == "gpu"
    assert set(settings.clusters) == {"default", "far-away"}
    assert settings.clusters["far-away"].cluster_context == "far-away"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu: {image: x}", "unknown key 'image' in the profile 'gpu'. Write one of cluster_context"),
        ("gpu: {namespce: x}", "unknown key 'namespce' in the profile 'gpu'. Did you mean namespace"),
        ("gpu: {namespace: 3}", "namespace = 3; write text"),
        ("gpu: {executor_config: x}", "write a mapping"),
        ("[1, 2]", "write a mapping of profile names"),
        ("a: {", "not valid YAML"),
    ],
)
def test_a_profiles_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_settings(config(profiles_file=write(tmp_path, text)))


def test_defaults_that_airflow_carries_for_other_executors_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL", raising=False)
    assert airflow_config().get("celery", "broker_url", fallback="mine") == "mine"
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://set/0")
    assert airflow_config().get("celery", "broker_url", fallback="mine") == "redis://set/0"
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL")
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL_CMD", "echo redis://command/0")
    assert airflow_config().get("celery", "broker_url", fallback="mine") == "redis://command/0"


# ---- commands and secrets, as Airflow itself reads them ----


class Backend(BaseSecretsBackend):
    """A secrets backend that knows one path."""

    def get_config(self, key: str) -> str | None:
        """Return the secret of the one path."""
        if key == "broken":
            raise OSError("a secret")
        return "redis://secret/0" if key == "path" else None


def in_file(tmp_path: Path, text: str) -> AirflowConfig:
    file = tmp_path / "airflow.cfg"
    file.write_text(text)
    parser = AirflowConfigParser()
    parser.read(str(file))
    return AirflowConfig(parser)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("broker_url_cmd = printf 'redis://:50%%%%25@h/0\\n'", "redis://:50%25@h/0"),
        ("broker_url_cmd = echo %(host)s\nhost = redis://h/1", "redis://h/1\n"),
        ("broker_url = redis://:a%%25b@h/0", "redis://:a%25b@h/0"),
        ("broker_url = redis://file/0\nbroker_url_cmd = echo redis://command/0", "redis://file/0"),
        ("broker_url_secret = path", "redis://secret/0"),
        ("broker_url_cmd = true\nbroker_url_secret = path", "redis://secret/0"),
        ("broker_url_secret = unknown", "mine"),
    ],
)
def test_commands_and_secrets_of_the_file_are_read_as_airflow_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, expected: str
) -> None:
    monkeypatch.delenv("AIRFLOW__CELERY__BROKER_URL", raising=False)
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", f"{__name__}.Backend")
    conf = in_file(tmp_path, f"[celery]\n{options}\n")
    assert conf.get("celery", "broker_url", fallback="mine").rstrip("\n") == expected.rstrip("\n")


def test_the_environments_command_goes_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = in_file(tmp_path, "[hybrid_executor]\nredis_url = redis://file/0\n")
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL_CMD", "echo redis://:100%25@command/0")
    location = read_settings(conf).redis
    assert location is not None
    assert location.url == "redis://:100%25@command/0"


@pytest.mark.parametrize("command", ["sh -c 'echo swordfish; exit 3'", "/no/such/program swordfish", "echo 'swordfish"])
def test_a_command_that_fails_is_named_without_its_output(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL_CMD", command)
    with pytest.raises(ConfigError, match="AIRFLOW__HYBRID_EXECUTOR__REDIS_URL_CMD failed") as caught:
        read_settings(airflow_config())
    assert "swordfish" not in str(caught.value)


def test_a_secrets_backend_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", f"{__name__}.Backend")
    conf = in_file(tmp_path, "[hybrid_executor]\nredis_url_secret = broken\n")
    with pytest.raises(ConfigError, match=r"\[hybrid_executor\] redis_url_secret \(OSError\)"):
        read_settings(conf)


def test_every_option_is_described_and_readable_as_it_stands() -> None:
    empty: Any = DictConfig()
    for option in HYBRID_OPTIONS:
        option.read(empty)
        assert option.description.endswith(".")
