"""The Celery broker: its address, and the arguments with which Celery and a Redis client connect. Opens no connection.

Promises: a wrong value is a ConfigError that names section, option, value and what to write. Passwords are not shown.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hybrid_executor.config import celery_table, table
from hybrid_executor.config.celery_table import CELERY_OPTIONS, SECTION, TRANSPORT_SECTION
from hybrid_executor.config.options import ConfigSource
from hybrid_executor.config.redis_url import is_redis_url, parse_redis_url
from hybrid_executor.config.teams import read_instance
from hybrid_executor.errors import ConfigError

# Airflow writes this into every airflow.cfg that it generates, even if no such host exists.
GENERATED_BROKER = "redis://redis:6379/0"

_AMQP_BROKERS = ("amqp://", "amqps://", "pyamqp://")
_OBJECTS = frozenset({"predefined_queues", "queue_tags", "sqs-creation-attributes", "client-config", "retry_policy"})
_TLS_OPTIONS = ("ssl_active", "ssl_mutual_tls", "ssl_key", "ssl_cert", "ssl_cacert")
# Look for overdue messages every 10 s instead of every 100 s (interval x throttle, if kombu has this option). If a
# worker dies while it looks, the others wait for 30 s instead of 300 s.
_RESTORES_SOON = {"unacked_restore_interval": 1, "unacked_mutex_expire": 30}
_OPTIONS = {option.name: option for option in CELERY_OPTIONS}


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker.

    :ivar url: as Celery reads it; "" for none. It may hold a password.
    :ivar tls: arguments of a TLS connection, with the names of the broker's transport; ``None`` for no TLS.
    :ivar transport_options: already converted to numbers, truth values and dicts.
    :ivar client: options of the Redis client in the URL, such as timeouts.
    """

    url: str = field(repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    transport_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_redis(self) -> bool:
        """It is a Redis."""
        return is_redis_url(self.url)

    @property
    def is_amqp(self) -> bool:
        """It is RabbitMQ, or a broker with the same protocol."""
        return self.url.startswith(_AMQP_BROKERS)

    @property
    def place(self) -> tuple[object, ...]:
        """A value that is equal for two brokers whose queues of the same name are the same queue."""
        if self.is_redis:
            address = parse_redis_url(self.url, {"master_name": self.transport_options.get("master_name")})
            return (*address.place, self.key_prefix)
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2].lower()
        return parts.scheme, host, parts.path, self.transport_options.get("queue_name_prefix", "")

    @property
    def key_prefix(self) -> str:
        """The prefix that the transport puts before every Redis key."""
        return str(self.transport_options.get("global_keyprefix", ""))

    def is_at(self, redis_url: str, options: Mapping[str, Any] | None = None) -> bool:
        """Return whether it is the same Redis database as ``redis_url``, which may be written differently.

        :param options: more arguments of that Redis, such as ``master_name``.
        """
        if not self.is_redis:
            return False
        own = {"master_name": self.transport_options.get("master_name")}
        return parse_redis_url(self.url, own).place == parse_redis_url(redis_url, options).place


def read_broker(conf: ConfigSource) -> Broker:
    """Return the configured broker: ``[celery] broker_url``, else the store's Redis.

    If the store's Redis is configured, a ``broker_url`` that Airflow has generated is ignored.

    :raises ConfigError: a value is wrong.
    """
    url, redis_url = (str(option.read(conf) or "") for option in (_OPTIONS["broker_url"], table.REDIS_URL))
    is_stores = not url or (bool(redis_url) and url in (GENERATED_BROKER, redis_url))
    url = redis_url if is_stores else url
    tls, options = _tls_of(url, conf), _read_transport_options(conf, url)
    if not is_redis_url(url):
        return Broker(url=url, tls=tls, transport_options=options)
    stores = table.REDIS_OPTIONS.read(conf) if is_stores else {}
    address = parse_redis_url(
        url,
        {**stores, **({"ssl": True, **tls} if tls is not None else {})},
        option="[hybrid_executor] redis_url" if is_stores else f"[{SECTION}] broker_url",
    )
    if address.master_name:
        options.setdefault("master_name", address.master_name)
    if address.sentinel_kwargs:
        options.setdefault("sentinel_kwargs", dict(address.sentinel_kwargs))
    if address.kind == "sentinel" and not options.get("master_name"):
        raise ConfigError(
            f"[{TRANSPORT_SECTION}] master_name is not set: write the name of the primary that Sentinel watches, since "
            f"[{SECTION}] broker_url begins with sentinel://."
        )
    client = address.without_foreign(address.client)
    return Broker(url=address.url, tls=address.tls, transport_options={**client, **options}, client=client)


def redis_client_arguments(broker: Broker) -> tuple[str, dict[str, Any]]:
    """Return URL and options with which the store connects to the broker as Celery does (TLS files, Sentinel).

    :raises ConfigError: the broker is not a Redis.
    """
    if not broker.is_redis:
        raise ConfigError(
            f"[{SECTION}] broker_url is not a Redis: set [hybrid_executor] redis_url to a Redis or Valkey for "
            "the shared state."
        )
    names = ("master_name", "sentinel_kwargs")
    options = {name: broker.transport_options[name] for name in names if name in broker.transport_options}
    tls = {"ssl": True, **broker.tls} if broker.tls is not None else {}
    return broker.url, {**broker.client, **options, **tls}


def _tls_of(broker_url: str, conf: ConfigSource) -> dict[str, Any] | None:
    values = {name: _OPTIONS[name].read(conf) for name in _TLS_OPTIONS}
    if not values["ssl_active"]:
        return None
    if broker_url.startswith(_AMQP_BROKERS):
        names = {"key": "keyfile", "cert": "certfile", "cacert": "ca_certs", "reqs": "cert_reqs"}
    elif is_redis_url(broker_url):
        names = {"key": "ssl_keyfile", "cert": "ssl_certfile", "cacert": "ssl_ca_certs", "reqs": "ssl_cert_reqs"}
    else:
        raise _OPTIONS["ssl_active"].error("True", "False: TLS works only with Redis and RabbitMQ brokers")
    tls: dict[str, Any] = {names["reqs"]: ssl.CERT_REQUIRED}
    if values["ssl_mutual_tls"] and bool(values["ssl_key"]) != bool(values["ssl_cert"]):
        missing = "ssl_key" if not values["ssl_key"] else "ssl_cert"
        raise _OPTIONS[missing].error("", "the path of a file, or set [celery] ssl_mutual_tls = False")
    if values["ssl_mutual_tls"] and values["ssl_key"]:
        tls[names["key"]] = values["ssl_key"]
        tls[names["cert"]] = values["ssl_cert"]
    if values["ssl_cacert"]:
        tls[names["cacert"]] = values["ssl_cacert"]
    return tls


def _read_transport_options(conf: ConfigSource, broker_url: str) -> dict[str, Any]:
    options = {name: _read_transport_value(name, text) for name, text in conf.options(TRANSPORT_SECTION).items()}
    if is_redis_url(broker_url) or broker_url.startswith("sqs://"):
        options["visibility_timeout"] = celery_table.VISIBILITY_TIMEOUT.read(conf)
    if conf.team and is_redis_url(broker_url):
        # Queues of two teams may have the same name, and their brokers may be the same Redis.
        options.setdefault("global_keyprefix", f"{read_instance(conf)}:")
    return {**_RESTORES_SOON, **options} if is_redis_url(broker_url) else options


def _read_transport_value(name: str, text: str) -> Any:
    text = text.strip()
    is_object = name.endswith("_kwargs") or name in _OBJECTS
    if is_object or text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if value is None or (is_object and not isinstance(value, dict)):
            raise ConfigError(f"[{TRANSPORT_SECTION}] {name} = <hidden> is not valid: write a JSON object.")
        return value
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
