"""Each option of ``[celery]`` does what it says: one row per option, on the thing that it ends up in."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from airflow.utils import process_utils

from hybrid_executor.cli.flower_command import flower_arguments
from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import CELERY_OPTIONS, read_celery_settings
from hybrid_executor.config.celery_table import WITHOUT_EFFECT
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.command import Arguments, celery_options
from hybrid_workers.deployment import read_deployment

BROKER = "redis://broker:6379/0"
TLS = {"ssl_active": "True", "ssl_key": "k", "ssl_cert": "c", "ssl_cacert": "ca"}
OVERLAY = {"worker_max_tasks_per_child": 7}
CONF = DictConfig({"celery": {"broker_url": BROKER}})
Effect = Callable[[DictConfig], object]


def celery(setting: str) -> Effect:
    """Look at a setting of the worker's real Celery application."""

    def look(conf: DictConfig) -> object:
        app = create_worker_app(read_deployment(conf))
        value: object = app.main if setting == "main" else app.conf[setting]
        app.close()
        return value

    return look


def tls(name: str) -> Effect:
    def look(conf: DictConfig) -> object:
        values = celery("broker_use_ssl")(conf)
        assert isinstance(values, dict)
        return values.get(name)

    return look


def argument(flag: str) -> Effect:
    """Look at an argument of ``celery worker``."""

    def look(conf: DictConfig) -> object:
        made = celery_options(Arguments(), read_deployment(conf), conf)
        return made[made.index(flag) + 1]

    return look


def flower(conf: DictConfig) -> object:
    none = Namespace(hostname=None, port=None, url_prefix=None, flower_conf=None, basic_auth=None, broker_api=None)
    words, secrets = flower_arguments(none, conf)
    return [*words, *secrets.values()]


def longest_send(conf: DictConfig) -> object:
    return read_celery_settings(conf).operation_timeout_seconds


@dataclass(frozen=True)
class Row:
    text: str
    effect: Effect
    expected: object
    beside: tuple[tuple[str, str], ...] = ()


ROWS = {
    "celery_app_name": Row("ours", celery("main"), "ours"),
    "broker_url": Row("redis://h/3", celery("broker_url"), "redis://h/3"),
    "broker_connection_retry_on_startup": Row("no", celery("broker_connection_retry_on_startup"), False),
    "worker_concurrency": Row("3", argument("--concurrency"), "3"),
    "worker_autoscale": Row("8,2", argument("--autoscale"), "8,2"),
    "worker_prefetch_multiplier": Row("4", celery("worker_prefetch_multiplier"), 4),
    "worker_enable_remote_control": Row("False", celery("worker_enable_remote_control"), False),
    "pool": Row("my.pool:Class", celery("worker_pool"), "my.pool:Class"),
    "task_acks_late": Row("False", celery("task_acks_late"), False),
    "operation_timeout": Row("2.5", longest_send, 2.5),
    "ssl_active": Row("True", tls("ssl_cert_reqs"), ssl.CERT_REQUIRED),
    "ssl_mutual_tls": Row("False", tls("ssl_certfile"), None, tuple(TLS.items())),
    "ssl_key": Row("key", tls("ssl_keyfile"), "key", tuple(TLS.items())),
    "ssl_cert": Row("cert", tls("ssl_certfile"), "cert", tuple(TLS.items())),
    "ssl_cacert": Row("root", tls("ssl_ca_certs"), "root", tuple(TLS.items())),
    "extra_celery_config": Row('{"worker_max_tasks_per_child": 9}', celery("worker_max_tasks_per_child"), 9),
    "celery_config_options": Row(f"{__name__}.OVERLAY", celery("worker_max_tasks_per_child"), 7),
    "json_logs": Row("True", lambda conf: read_deployment(conf).celery.json_logs, True),
    "task_logs_to_stdout": Row("True", lambda conf: read_deployment(conf).task_logs_to_stdout, True),
    "worker_umask": Row("0o027", lambda conf: read_deployment(conf).celery.values["worker_umask"], "0o027"),
    "flower_host": Row("h", flower, ["--address=h", "--port=5555"]),
    "flower_port": Row("1", flower, ["--address=0.0.0.0", "--port=1"]),
    "flower_url_prefix": Row("/f", flower, ["--address=0.0.0.0", "--port=5555", "--url-prefix=/f"]),
    "flower_basic_auth": Row("u:p", flower, ["--address=0.0.0.0", "--port=5555", "u:p"]),
}
OF_THE_PROCESS = {"mp_start_method", "mp_forkserver_preload"}


def test_every_option_has_a_row_or_is_told_to_have_no_effect() -> None:
    assert set(ROWS) | OF_THE_PROCESS | set(WITHOUT_EFFECT) == {option.name for option in CELERY_OPTIONS}


@pytest.mark.parametrize("name", ROWS)
def test_an_option_takes_effect(name: str) -> None:
    row = ROWS[name]
    conf = DictConfig({"celery": {"broker_url": BROKER, **dict(row.beside), name: row.text}})
    assert row.effect(conf) == row.expected


@pytest.mark.parametrize("name", ROWS)
def test_without_the_option_the_effect_is_another(name: str) -> None:
    row = ROWS[name]
    if name == "worker_autoscale":
        assert "--autoscale" not in celery_options(Arguments(), read_deployment(CONF), CONF)
    elif name == "ssl_active":
        assert celery("broker_use_ssl")(CONF) in (None, False)
    elif name != "broker_url":
        beside = {known: text for known, text in row.beside if known != name or name in TLS}
        assert row.effect(DictConfig({"celery": {"broker_url": BROKER, **beside}})) != row.expected


@pytest.mark.skipif(not hasattr(process_utils, "set_component_mp_start_method"), reason="Airflow 3.2 cannot do it")
def test_the_start_method_of_helper_processes_is_the_configured_one() -> None:
    code = (
        "import multiprocessing as m, multiprocessing.forkserver as f\n"
        "from hybrid_workers.command import _set_start_method\n"
        "_set_start_method()\n"
        "print(m.get_start_method(), f._forkserver._preload_modules)"
    )
    environment = {
        **os.environ,
        "AIRFLOW__CELERY__MP_START_METHOD": "forkserver",
        "AIRFLOW__CELERY__MP_FORKSERVER_PRELOAD": "json,this_module",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "forkserver ['json', 'this_module']"
