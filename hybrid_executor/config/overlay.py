"""Checks of more Celery settings of a deployment: they must not name another Redis broker.

Schedulers read only ``[celery] broker_url``, and write to that Redis without Celery. Settings with the same broker are
accepted, since many deployments copy the whole configuration of another provider. Different ones are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_executor.config.broker import GENERATED_BROKER, Broker
from hybrid_executor.config.celery_table import SECTION, TRANSPORT_SECTION
from hybrid_executor.config.redis_url import is_redis_url
from hybrid_executor.errors import ConfigError

_URLS = ("broker_url", "broker_read_url", "broker_write_url")
_PLACE_OPTIONS = ("master_name", "sentinel_kwargs", "global_keyprefix")
_TRANSPORT = "broker_transport_options"


def without_broker(overlay: Mapping[str, Any], broker: Broker, *, option: str) -> dict[str, Any]:
    """Return Celery settings without those that only repeat the broker.

    :param option: the option with these settings, for the error.
    :raises ConfigError: their broker or TLS differs from ``[celery]``, and one of the brokers is a Redis.
    """
    urls = {name: _text(overlay[name]) for name in _URLS if overlay.get(name)}
    if not broker.is_redis and not any(is_redis_url(url) for url in urls.values() if url != GENERATED_BROKER):
        return dict(overlay)
    for name, url in urls.items():
        if url != GENERATED_BROKER and not _is_same(broker, url):
            raise _refusal(option, name, f"[{SECTION}] broker_url")
    if overlay.get("broker_use_ssl") and not _is_same_tls(broker, overlay["broker_use_ssl"]):
        raise _refusal(option, "broker_use_ssl", f"[{SECTION}] ssl_active and the other ssl_ options")
    transport = overlay.get(_TRANSPORT) or {}
    for name in _PLACE_OPTIONS:
        if name in transport and transport[name] != broker.transport_options.get(name):
            raise _refusal(option, f"{_TRANSPORT} {name}", f"[{TRANSPORT_SECTION}] {name}")
    kept = {name: value for name, value in overlay.items() if name not in (*_URLS, "broker_use_ssl", _TRANSPORT)}
    return {**kept, _TRANSPORT: {**broker.transport_options, **transport}} if transport else kept


def _text(url: Any) -> str:
    return url if isinstance(url, str) else ";".join(str(part) for part in url)


def _is_same(broker: Broker, url: str) -> bool:
    if not is_redis_url(url):
        return False
    return broker.is_at(url, {"master_name": broker.transport_options.get("master_name")})


def _is_same_tls(broker: Broker, tls: Any) -> bool:
    return isinstance(tls, Mapping) and {k: v for k, v in tls.items() if v} == dict(broker.tls or {})


def _refusal(option: str, name: str, instead: str) -> ConfigError:
    return ConfigError(
        f"[{SECTION}] {option} sets {name}, so schedulers and workers would use different brokers: set {instead} "
        "instead, which both read."
    )
