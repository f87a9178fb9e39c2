"""Connections: one Redis configuration for everything, and the store that is made from it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from hybrid_executor.errors import ConfigError
from hybrid_executor.store.attempts import Attempts
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.leases import Leases, Rates
from hybrid_executor.store.orders import Orders
from hybrid_executor.store.presence import Presence
from hybrid_executor.store.redis_identity import RedisIdentity
from hybrid_executor.store.resource_version import ResourceVersion
from hybrid_executor.store.starts import Starts
from hybrid_executor.store.streams import EventStream, LaunchStream
from hybrid_executor.store.translation import translated


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where Redis is and how patient a caller is.

    :ivar url: ``redis://``, ``rediss://``, ``unix://``, or ``sentinel://host:port[;sentinel://host:port...]/db``.
    :ivar options: further arguments of the client: TLS files, ``master_name``, ``sentinel_kwargs``, user, password.
    :ivar connect_seconds: longest wait for a connection.
    :ivar answer_seconds: longest wait for an answer; blocking reads add their own time.
    :ivar retries: repetitions after a broken connection. Scripts are safe to send twice.
    """

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    connect_seconds: float = 2.0
    answer_seconds: float = 5.0
    retries: int = 1


def connect(settings: RedisSettings) -> redis.Redis:
    """Return a client that decodes answers to text. No connection is made yet.

    :raises ConfigError: the URL cannot be used.
    """
    common: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": settings.connect_seconds,
        "socket_timeout": settings.answer_seconds,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), settings.retries),
        "retry_on_error": [RedisConnectionError],
    }
    options = dict(settings.options)
    master_name = options.pop("master_name", None)
    sentinel_options = options.pop("sentinel_kwargs", {})
    try:
        if settings.url.startswith("sentinel://"):
            return _connect_sentinel(settings.url, {**common, **options}, master_name, sentinel_options)
        client: redis.Redis = redis.Redis.from_url(settings.url, **{**common, **_tls(settings.url), **options})
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"The Redis URL cannot be used ({error}): write redis://[user:password@]host:6379/0, rediss://... for TLS, "
            "unix:///path.sock, or sentinel://host:26379;sentinel://host2:26379/0 with master_name."
        ) from None
    return client


def _connect_sentinel(
    url: str, options: dict[str, Any], master_name: str | None, sentinel_options: Mapping[str, Any]
) -> redis.Redis:
    if not master_name:
        raise ConfigError(
            "A sentinel:// URL needs master_name: set it in [hybrid_executor] redis_options or in "
            "[celery_broker_transport_options]."
        )
    parts = [urlsplit(part) for part in url.split(";") if part]
    addresses = [(part.hostname or "localhost", part.port or 26379) for part in parts]
    last = parts[-1]
    if last.path.strip("/"):
        options["db"] = int(last.path.strip("/"))
    for part in parts:
        if part.password and "password" not in options:
            options["password"] = unquote(part.password)
            if part.username:
                options["username"] = unquote(part.username)
    from redis import sentinel as sentinels

    make_sentinel: Any = sentinels.Sentinel
    sentinel = make_sentinel(addresses, sentinel_kwargs=dict(sentinel_options), **options)
    client: redis.Redis = sentinel.master_for(master_name)
    return client


def _tls(url: str) -> dict[str, Any]:
    """Return TLS arguments in the words that Celery's URLs use (``ssl_cert_reqs=CERT_REQUIRED``)."""
    if not url.startswith("rediss://"):
        return {}
    wanted = parse_qs(urlsplit(url).query).get("ssl_cert_reqs", ["required"])[0].lower().removeprefix("cert_")
    return {"ssl_cert_reqs": wanted, "ssl_min_version": ssl.TLSVersion.TLSv1_2}


class Store:
    """Everything that one instance keeps in Redis."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        instance: str,
        retention_seconds: int = 86400,
        payload_seconds: int = 600,
    ) -> None:
        self.client = client
        self.keys = Keys(instance)
        self.attempts = Attempts(
            client, self.keys, retention_seconds=retention_seconds, payload_seconds=payload_seconds
        )
        self.events = EventStream(client, self.keys)
        self.leases = Leases(client, self.keys)
        self.rates = Rates(client, self.keys)
        self.starts = Starts(client, self.keys)
        self.presence = Presence(client, self.keys)
        self.orders = Orders(client, self.keys)
        self.identity = RedisIdentity(client, self.keys)

    def launches(self, cluster: str, *, consumer: str) -> LaunchStream:
        """Return the launch stream of a cluster as seen by one consumer."""
        return LaunchStream(self.client, self.keys, cluster=cluster, consumer=consumer)

    def version(self, cluster: str, namespace: str) -> ResourceVersion:
        """Return the stored resource version of a cluster and namespace."""
        return ResourceVersion(self.client, self.keys, cluster=cluster, namespace=namespace)

    @translated
    def ping(self) -> None:
        """Ask Redis for a sign of life.

        :raises StoreUnavailable: it cannot be reached.
        :raises ConfigError: it refuses user or password.
        """
        self.client.ping()

    def close(self) -> None:
        """Close all connections."""
        self.client.close()


def open_store(
    settings: RedisSettings, *, instance: str, retention_seconds: int = 86400, payload_seconds: int = 600
) -> Store:
    """Return the store of ``instance``. No connection is made yet.

    :raises ConfigError: URL or instance name cannot be used.
    """
    return Store(
        connect(settings),
        instance=instance,
        retention_seconds=retention_seconds,
        payload_seconds=payload_seconds,
    )
