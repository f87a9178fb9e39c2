"""The settings of ``[celery]``, and the Celery configuration made from them.

Promises: every documented option is accepted. A wrong value is a ConfigError that names section, option, value and what
to write. Workers and senders get the same Celery configuration. Celery is never imported. The only code of others that
runs here is the module of ``celery_config_options``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from hybrid_executor.config import celery_table
from hybrid_executor.config.broker import Broker, read_broker
from hybrid_executor.config.celery_table import CELERY_OPTIONS, SECTION
from hybrid_executor.config.options import ConfigSource, parse_bool
from hybrid_executor.config.overlay import without_broker

__all__ = [
    "AUTOSCALE_FORM",
    "CELERY_OPTIONS",
    "CelerySettings",
    "build_celery_config",
    "explain_without_effect",
    "is_autoscale",
    "read_celery_settings",
]

log = logging.getLogger(__name__)

AUTOSCALE_FORM = "two whole numbers 'max,min' such as 16,4, where max is at least 1"

_OPTIONS = {option.name: option for option in CELERY_OPTIONS}


@dataclass(frozen=True, kw_only=True)
class CelerySettings:
    """The Celery settings of a deployment.

    :ivar extra: settings of ``extra_celery_config``.
    :ivar overlay: settings of ``celery_config_options``; they win.
    :ivar json_logs, task_logs_to_stdout: ``None`` if ``[logging]`` decides.
    :ivar values: every other option by its name.
    :ivar without_effect: options that are set but do nothing here.
    """

    app_name: str
    broker: Broker
    operation_timeout_seconds: float
    extra: Mapping[str, Any] = field(repr=False)
    overlay: Mapping[str, Any] = field(repr=False)
    json_logs: bool | None
    task_logs_to_stdout: bool | None
    default_queue: str
    values: Mapping[str, Any] = field(repr=False)
    without_effect: tuple[str, ...] = ()


def read_celery_settings(conf: ConfigSource) -> CelerySettings:
    """Return the settings that ``conf`` holds.

    :raises ConfigError: a value is wrong; the message names section, option, value and what to write.
    """
    values = {option.name: option.read(conf) for option in CELERY_OPTIONS}
    if values["worker_autoscale"] and not is_autoscale(values["worker_autoscale"]):
        raise _OPTIONS["worker_autoscale"].error(values["worker_autoscale"], AUTOSCALE_FORM)
    _check_umask(values["worker_umask"])
    broker = read_broker(conf)
    extra = without_broker(values["extra_celery_config"], broker, option="extra_celery_config")
    overlay = _import_overlay(values["celery_config_options"])
    overlay = without_broker(overlay, broker, option="celery_config_options")
    return CelerySettings(
        app_name=values["celery_app_name"],
        broker=broker,
        operation_timeout_seconds=values["operation_timeout"],
        extra=extra,
        overlay=overlay,
        json_logs=_read_truth(values["json_logs"], "json_logs"),
        task_logs_to_stdout=_read_truth(values["task_logs_to_stdout"], "task_logs_to_stdout"),
        default_queue=celery_table.CORE_DEFAULT_QUEUE.read(conf),
        values=values,
        without_effect=_find_without_effect(conf, {**extra, **overlay}),
    )


def build_celery_config(settings: CelerySettings, *, default_queue: str) -> dict[str, Any]:
    """Return the Celery configuration of workers and senders.

    A result backend is always removed: with Redis as result backend, each sent message would subscribe to a channel and
    never unsubscribe. The store holds the results.
    """
    values = settings.values
    config: dict[str, Any] = {
        "broker_url": settings.broker.url,
        "broker_transport_options": dict(settings.broker.transport_options),
        "broker_connection_retry_on_startup": values["broker_connection_retry_on_startup"],
        # By default Celery gives up after 100 attempts, and ends if a Redis refuses commands during a fail-over
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
        "task_protocol": 2,
        "task_default_queue": default_queue,
        "task_default_exchange": default_queue,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        "task_acks_late": values["task_acks_late"],
        # the worker reports a workload whose process died; it must not run again without the scheduler
        "task_reject_on_worker_lost": False,
        "worker_concurrency": values["worker_concurrency"],
        "worker_pool": values["pool"],
        "worker_prefetch_multiplier": values["worker_prefetch_multiplier"],
        "worker_enable_remote_control": values["worker_enable_remote_control"],
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        # running tasks continue while the broker is unavailable; their second delivery is refused when it is claimed
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_deduplicate_successful_tasks": False,
    }
    if settings.broker.tls is not None:
        config["broker_use_ssl"] = dict(settings.broker.tls)
    config.update(settings.extra)
    config.update(settings.overlay)
    config.pop("result_backend", None)
    return config


def explain_without_effect(settings: CelerySettings) -> None:
    """Log a line for each option that is set but does nothing here. Call it once, when a process starts."""
    for name in settings.without_effect:
        log.info("[%s] %s has no effect here: %s.", SECTION, name, celery_table.WITHOUT_EFFECT[name])


def is_autoscale(text: str) -> bool:
    """Return whether ``text`` has the form of :data:`AUTOSCALE_FORM`; the second number is optional.

    Celery accepts the numbers in either order. With a maximum of 0 task processes, nothing would run.
    """
    parts = [part.strip() for part in text.split(",")]
    are_numbers = len(parts) <= 2 and all(part.isascii() and part.isdigit() for part in parts)
    return are_numbers and max(int(part) for part in parts) >= 1


def _import_overlay(path: str) -> dict[str, Any]:
    if path in ("", celery_table.UPSTREAM_CONFIG):
        return {}
    option = _OPTIONS["celery_config_options"]
    module, _, name = path.rpartition(".")
    try:
        overlay = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise option.error(path, f"the import path of a dict of Celery settings ({error})") from error
    if not isinstance(overlay, Mapping):
        raise option.error(path, "the import path of a dict of Celery settings")
    return dict(overlay)


def _read_truth(text: str, name: str) -> bool | None:
    if text.lower() in ("", "none"):
        return None
    try:
        return parse_bool(text)
    except ValueError:
        raise _OPTIONS[name].error(text, "True or False") from None


def _check_umask(text: str) -> None:
    try:
        int(text or "0", 8)
    except ValueError:
        raise _OPTIONS["worker_umask"].error(text, "an octal number such as 0o077") from None


def _find_without_effect(conf: ConfigSource, overlays: Mapping[str, Any]) -> tuple[str, ...]:
    # Airflow writes its defaults into every airflow.cfg that it generates; a default is not a decision of the user.
    names = (
        name
        for name in celery_table.WITHOUT_EFFECT
        if conf.get(SECTION, name, fallback=None) not in (None, "", _OPTIONS[name].default) or overlays.get(name)
    )
    return tuple(names)
