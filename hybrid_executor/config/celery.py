"""``[celery]`` as settings, and the Celery configuration made from them.

Promises: every documented option is accepted; a wrong value is a ConfigError that names section, option, value and
what to write; one place decides how Celery is set up, for workers and senders alike. Never imports Celery. The only
foreign code it runs is the module that ``celery_config_options`` names.
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

AUTOSCALE_FORM = "two whole numbers as 'max,min', e.g. 16,4, of which max is at least 1"

_OPTIONS = {option.name: option for option in CELERY_OPTIONS}


@dataclass(frozen=True, kw_only=True)
class CelerySettings:
    """What a deployment says of Celery.

    :ivar extra: settings of ``extra_celery_config``; ``overlay``: those of ``celery_config_options``, which win.
    :ivar json_logs, task_logs_to_stdout: ``None`` where ``[logging]`` decides.
    :ivar values: every other option by its name.
    :ivar without_effect: what is set and does nothing here.
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

    Without a result backend whatever the overlays say: with Redis as one, each message sent would subscribe to a
    channel and never leave it; and completion travels in the store.
    """
    values = settings.values
    config: dict[str, Any] = {
        "broker_url": settings.broker.url,
        "broker_transport_options": dict(settings.broker.transport_options),
        "broker_connection_retry_on_startup": values["broker_connection_retry_on_startup"],
        # Celery gives up after 100 attempts, and ends on the refusals of a Redis that fails over; workers run for years
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
        # a workload whose process died is reported, not run again behind the scheduler's back
        "task_reject_on_worker_lost": False,
        "worker_concurrency": values["worker_concurrency"],
        "worker_pool": values["pool"],
        "worker_prefetch_multiplier": values["worker_prefetch_multiplier"],
        "worker_enable_remote_control": values["worker_enable_remote_control"],
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        # what runs goes on while the broker is away; the second delivery that follows is refused at its claim
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
    """Log a line for each option that is set and does nothing here. Call it once, when a process starts."""
    for name in settings.without_effect:
        log.info("[%s] %s has no effect here: %s.", SECTION, name, celery_table.WITHOUT_EFFECT[name])


def is_autoscale(text: str) -> bool:
    """Return whether ``text`` is in :data:`AUTOSCALE_FORM`; the second number may be left out.

    Celery takes the numbers in either order. With 0 task processes at most, nothing would ever run.
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
    # Airflow writes defaults into every airflow.cfg that it generates; they ask for nothing.
    names = (
        name
        for name in celery_table.WITHOUT_EFFECT
        if conf.get(SECTION, name, fallback=None) not in (None, "", _OPTIONS[name].default) or overlays.get(name)
    )
    return tuple(names)
