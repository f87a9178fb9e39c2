"""``[celery]`` becomes a Celery configuration; what is wrong in it is named."""

from __future__ import annotations

import json
import logging
import ssl
from typing import Any

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.config.broker import Broker, read_broker, redis_client_arguments
from hybrid_executor.config.celery import (
    CELERY_OPTIONS,
    build_celery_config,
    explain_without_effect,
    read_celery_settings,
)
from hybrid_executor.config.celery_table import WITHOUT_EFFECT
from hybrid_executor.config.settings import read_redis
from hybrid_executor.errors import ConfigError

REDIS, RABBIT = "redis://broker:6379/0", "amqp://user:pw@rabbit//"
UPSTREAM_OPTIONS = (
    "celery_app_name worker_concurrency mp_start_method mp_forkserver_preload worker_autoscale "
    "worker_prefetch_multiplier worker_enable_remote_control json_logs task_logs_to_stdout broker_url result_backend "
    "result_backend_sqlalchemy_engine_options flower_host flower_port flower_url_prefix flower_basic_auth "
    "sync_parallelism celery_config_options ssl_active ssl_mutual_tls ssl_key ssl_cert ssl_cacert pool "
    "operation_timeout task_acks_late task_track_started task_publish_max_retries extra_celery_config worker_umask "
    "broker_connection_retry_on_startup"
).split()

OVERLAY = {"worker_max_tasks_per_child": 7, "worker_concurrency": 3, "result_backend": "db+sqlite://"}
NO_OVERLAY = "text"


def source(transport: dict[str, str] | None = None, /, **celery: Any) -> DictConfig:
    return DictConfig(
        {"celery": {"broker_url": REDIS, **celery}, "celery_broker_transport_options": transport or {}},
    )


def config(transport: dict[str, str] | None = None, /, **celery: Any) -> dict[str, Any]:
    return build_celery_config(read_celery_settings(source(transport, **celery)), default_queue="default")


def test_every_documented_option_is_in_the_table() -> None:
    assert {option.name for option in CELERY_OPTIONS} == set(UPSTREAM_OPTIONS)


def test_nothing_but_the_broker_needs_to_be_set() -> None:
    made = config()
    assert made["broker_url"] == REDIS
    assert made["broker_transport_options"] == {
        "visibility_timeout": 86400,
        "unacked_restore_interval": 1,
        "unacked_mutex_expire": 30,
    }
    assert (made["worker_concurrency"], made["worker_prefetch_multiplier"], made["worker_pool"]) == (16, 1, "prefork")
    assert (made["task_acks_late"], made["task_ignore_result"], made["task_reject_on_worker_lost"]) == (
        True,
        True,
        False,
    )
    assert made["accept_content"] == ["json"]
    assert made["broker_connection_retry_on_startup"] is True
    assert "broker_use_ssl" not in made


@pytest.mark.parametrize(
    ("option", "text", "setting", "value"),
    [
        ("worker_concurrency", "3", "worker_concurrency", 3),
        ("worker_prefetch_multiplier", "4", "worker_prefetch_multiplier", 4),
        ("worker_enable_remote_control", "False", "worker_enable_remote_control", False),
        ("pool", "solo", "worker_pool", "solo"),
        ("task_acks_late", "false", "task_acks_late", False),
        ("broker_connection_retry_on_startup", "no", "broker_connection_retry_on_startup", False),
        ("extra_celery_config", '{"worker_max_tasks_per_child": 10}', "worker_max_tasks_per_child", 10),
        ("celery_config_options", f"{__name__}.OVERLAY", "worker_concurrency", 3),
    ],
)
def test_an_option_reaches_celery(option: str, text: str, setting: str, value: object) -> None:
    assert config(**{option: text})[setting] == value


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("worker_concurrency", "many", "a whole number"),
        ("worker_concurrency", "0", "a number of at least 1"),
        ("task_acks_late", "perhaps", "True or False"),
        ("operation_timeout", "0", "a number of at least 0.1"),
        ("worker_autoscale", "16-4", "'max,min'"),
        ("worker_autoscale", "0,0", "max is at least 1"),
        ("worker_autoscale", "0", "max is at least 1"),
        ("worker_autoscale", "4,-1", "'max,min'"),
        ("worker_umask", "0x9", "an octal number"),
        ("json_logs", "perhaps", "True or False"),
        ("extra_celery_config", "[1]", "a JSON object"),
        ("extra_celery_config", "{", "a JSON object"),
        ("celery_config_options", "no.such.module", "the import path of a dict"),
        ("celery_config_options", f"{__name__}.NO_OVERLAY", "the import path of a dict"),
        ("mp_start_method", "thread", "fork, spawn, forkserver"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write(option: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[celery\] {option} = .*{expected}"):
        read_celery_settings(source(**{option: text}))


@pytest.mark.parametrize(
    ("broker_url", "redis_url", "expected"),
    [
        ("redis://redis:6379/0", "redis://store:6379/1", "redis://store:6379/1"),
        ("redis://redis:6379/0", "", "redis://redis:6379/0"),
        ("redis://redis:6379/1", "redis://store:6379/1", "redis://redis:6379/1"),
    ],
)
def test_the_broker_that_airflow_generates_gives_way_to_a_redis_that_somebody_names(
    broker_url: str, redis_url: str, expected: str
) -> None:
    conf = DictConfig({"celery": {"broker_url": broker_url}, "hybrid_executor": {"redis_url": redis_url}})
    assert read_broker(conf).url == expected


def test_celery_keeps_no_results_whatever_is_configured() -> None:
    for made in (
        config(result_backend="db+postgresql://airflow"),
        config(extra_celery_config='{"result_backend": "redis://"}'),
        config(celery_config_options=f"{__name__}.OVERLAY"),
    ):
        assert "result_backend" not in made
        assert made["task_ignore_result"] is True


def test_options_without_effect_are_explained(caplog: pytest.LogCaptureFixture) -> None:
    asked = {name: "4" for name in WITHOUT_EFFECT if name != "task_track_started"} | {"task_track_started": "False"}
    with caplog.at_level(logging.INFO):
        explain_without_effect(read_celery_settings(source(**asked)))
    told = [record.getMessage() for record in caplog.records if record.name == explain_without_effect.__module__]
    assert told == [f"[celery] {name} has no effect here: {words}." for name, words in WITHOUT_EFFECT.items()]


def test_an_option_that_asks_for_nothing_is_not_explained() -> None:
    defaults = {option.name: option.default for option in CELERY_OPTIONS if option.name in WITHOUT_EFFECT}
    assert read_celery_settings(source(**defaults)).without_effect == ()
    assert read_celery_settings(source()).without_effect == ()


def test_a_result_backend_in_celerys_own_settings_has_no_effect_either() -> None:
    assert read_celery_settings(source(celery_config_options=f"{__name__}.OVERLAY")).without_effect == (
        "result_backend",
    )


def test_upstreams_own_default_config_is_no_overlay() -> None:
    path = "airflow.providers.celery.executors.default_celery.DEFAULT_CELERY_CONFIG"
    assert config(celery_config_options=path) == config()


# ---- the broker in Celery's own settings ----

SAME_BROKER = {
    "broker_url": ["redis://broker"],
    "broker_use_ssl": {},
    "broker_transport_options": {"visibility_timeout": 7},
    "worker_max_tasks_per_child": 7,
}
OTHER_BROKERS = {
    "broker_url": "redis://:swordfish@elsewhere/0",
    "broker_read_url": "redis://broker/1",
    "broker_write_url": "amqp://rabbit",
    "broker_use_ssl": {"ssl_cert_reqs": "none"},
    "broker_transport_options": {"global_keyprefix": "other"},
}


def test_celerys_own_settings_may_repeat_the_broker() -> None:
    made = config(celery_config_options=f"{__name__}.SAME_BROKER")
    assert (made["broker_url"], made["worker_max_tasks_per_child"]) == (REDIS, 7)
    assert made["broker_transport_options"] == {**config()["broker_transport_options"], "visibility_timeout": 7}
    assert "broker_use_ssl" not in made


def test_the_broker_that_airflow_generates_is_no_other_broker_in_celerys_own_settings() -> None:
    assert config(extra_celery_config='{"broker_url": "redis://redis:6379/0"}')["broker_url"] == REDIS


@pytest.mark.parametrize("name", OTHER_BROKERS)
def test_celerys_own_settings_cannot_send_workers_to_another_broker(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"extra_celery_config sets {name}.*: set \[celery") as caught:
        config(extra_celery_config=json.dumps({name: OTHER_BROKERS[name]}))
    assert "swordfish" not in str(caught.value)


def test_with_rabbitmq_celerys_own_settings_decide() -> None:
    made = config(broker_url=RABBIT, extra_celery_config='{"broker_url": "amqp://other"}')
    assert made["broker_url"] == "amqp://other"


# ---- transport options ----


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("0.5", 0.5), ("True", True), ("text", "text"), ('{"a": 1}', {"a": 1}), ("[1]", [1])],
)
def test_transport_options_get_their_types(text: str, value: object) -> None:
    assert config({"some_option": text})["broker_transport_options"]["some_option"] == value


@pytest.mark.parametrize("text", ["{", "[1]", "text", "null"])
def test_keyword_arguments_must_be_an_object_and_are_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="sentinel_kwargs = <hidden> is not valid: write a JSON object"):
        config({"sentinel_kwargs": text})


def test_rabbitmq_gets_no_visibility_timeout() -> None:
    assert config(broker_url=RABBIT)["broker_transport_options"] == {}


def test_sentinel_needs_the_name_of_its_primary() -> None:
    with pytest.raises(ConfigError, match="master_name is not set"):
        config(broker_url="sentinel://s:26379/0")
    made = config({"master_name": "main", "sentinel_kwargs": '{"password": "p"}'}, broker_url="sentinel://s:26379/0")
    assert made["broker_transport_options"]["sentinel_kwargs"] == {"password": "p"}


# ---- TLS ----


@pytest.mark.parametrize("url", [REDIS, "rediss://broker:6379/0"])
def test_tls_for_redis(url: str) -> None:
    files = {"ssl_key": "k", "ssl_cert": "c", "ssl_cacert": "ca"}
    assert config(broker_url=url, ssl_active="True", **files)["broker_use_ssl"] == {
        "ssl_keyfile": "k",
        "ssl_certfile": "c",
        "ssl_ca_certs": "ca",
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }


def test_tls_for_rabbitmq_without_a_certificate_of_our_own() -> None:
    made = config(broker_url=RABBIT, ssl_active="True", ssl_mutual_tls="False", ssl_cacert="ca")
    assert made["broker_use_ssl"] == {"ca_certs": "ca", "cert_reqs": ssl.CERT_REQUIRED}


def test_mutual_tls_needs_both_files() -> None:
    with pytest.raises(ConfigError, match=r"\[celery\] ssl_cert .*the path of a file"):
        config(ssl_active="True", ssl_key="k")


def test_tls_for_another_broker_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"\[celery\] ssl_active .*Redis and RabbitMQ"):
        config(broker_url="sqs://", ssl_active="True")


# ---- one Redis for both ----


def test_without_a_broker_url_the_stores_redis_is_the_broker() -> None:
    conf = DictConfig({"hybrid_executor": {"redis_url": "redis://store/3"}})
    assert read_broker(conf).url == "redis://store/3"


def test_the_store_reaches_the_broker_as_celery_does() -> None:
    location = read_redis(source(ssl_active="True", ssl_cacert="ca"))
    assert location is not None
    assert location.url == "rediss://broker:6379/0"
    assert location.options["ssl_ca_certs"] == "ca"


def test_sentinel_is_reached_by_both_with_one_configuration() -> None:
    broker = read_broker(source({"master_name": "main"}, broker_url="sentinel://a:1;sentinel://b:2/0"))
    assert redis_client_arguments(broker) == ("sentinel://a:1;sentinel://b:2/0", {"master_name": "main"})


@pytest.mark.parametrize(
    ("broker", "store", "is_same"),
    [
        ("redis://h/0", "redis://h:6379/0", True),
        ("redis://:pw@h:6379", "redis://h/0", True),
        ("rediss://h/0", "redis://h/0", True),
        ("redis://localhost/0", "redis://127.0.0.1:6379/0", True),
        ("redis://h/1", "redis://h/0", False),
        ("redis://h:6380/0", "redis://h/0", False),
        ("redis+socket:///run/r.sock", "unix:///run/r.sock", True),
        ("amqp://h", "redis://h/0", False),
    ],
)
def test_one_redis_is_recognised_however_it_is_written(broker: str, store: str, is_same: bool) -> None:
    assert Broker(url=broker).is_at(store) is is_same
