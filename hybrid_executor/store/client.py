"""Connections: one Redis configuration for everything, and the store that is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import redis
from redis.backoff import FullJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from hybrid_executor.config.redis_address import DEFAULT_PORT, SENTINEL_PORT, RedisAddress
from hybrid_executor.config.redis_url import parse_redis_url
from hybrid_executor.config.settings import Settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.store import topology
from hybrid_executor.store.attempts import Attempts
from hybrid_executor.store.broker_lists import BrokerLists
from hybrid_executor.store.census import Census
from hybrid_executor.store.erasing import Erasing
from hybrid_executor.store.hand_overs import HandOvers
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.leases import Leases, Rates
from hybrid_executor.store.orders import Orders
from hybrid_executor.store.permissions import STORE_COMMANDS, Missing, Needs, check_permissions, find_missing
from hybrid_executor.store.places import Places
from hybrid_executor.store.presence import Presence
from hybrid_executor.store.redis_identity import RedisIdentity
from hybrid_executor.store.resource_version import ResourceVersion
from hybrid_executor.store.starts import Starts
from hybrid_executor.store.streams import EventStream, LaunchStream
from hybrid_executor.store.topology import URL_OPTIONS
from hybrid_executor.store.translation import translated
from hybrid_executor.store.view import StoreView
from hybrid_executor.store.warm import WarmPodStore


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where Redis is and how patient a caller is.

    :ivar url: as :func:`~hybrid_executor.config.redis_url.parse_redis_url` reads it.
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

    :raises ConfigError: the URL or a further argument cannot be used.
    """
    address = parse_redis_url(settings.url, settings.options)
    common: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": settings.connect_seconds,
        "socket_timeout": settings.answer_seconds,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "retry": Retry(FullJitterBackoff(base=0.05, cap=0.5), settings.retries),
        "retry_on_error": [RedisConnectionError],
    }
    arguments = {**address.without_foreign(common), **address.connection_arguments()}
    if address.credential_provider:
        arguments["credential_provider"] = _credential_provider(address.credential_provider)
    try:
        client = _connect_sentinel(address, arguments) if address.kind == "sentinel" else _client(address, arguments)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # makes no connection; refuses unknown arguments
    except (ValueError, TypeError, RedisError) as error:
        detail = f": {error}" if isinstance(error, TypeError) else ""  # names an argument; others may show its value
        raise ConfigError(
            f"The Redis client does not accept the arguments in [hybrid_executor] redis_options "
            f"({type(error).__name__}{detail}): correct them."
        ) from None
    return client


def _client(address: RedisAddress, arguments: dict[str, Any]) -> redis.Redis:
    if address.kind == "socket":
        return redis.Redis.from_url("unix://", path=address.path, **arguments)
    [(host, port)] = address.hosts
    scheme = "redis" if address.tls is None else "rediss"
    return redis.Redis.from_url(f"{scheme}://", host=host, port=port or DEFAULT_PORT, **arguments)


def _connect_sentinel(address: RedisAddress, arguments: dict[str, Any]) -> redis.Redis:
    if not address.master_name:
        raise ConfigError(
            "A sentinel:// URL needs master_name: set it in [hybrid_executor] redis_options or in "
            "[celery_broker_transport_options]."
        )
    from redis import sentinel as sentinels

    make_sentinel: Any = sentinels.Sentinel
    bounds = {name: arguments[name] for name in ("socket_timeout", "socket_connect_timeout")}
    sentinel = make_sentinel(
        [(host, port or SENTINEL_PORT) for host, port in address.hosts],
        sentinel_kwargs={**bounds, **address.sentinel_kwargs},
        ssl=address.tls is not None,
        **arguments,
    )
    client: redis.Redis = sentinel.master_for(address.master_name)
    return client


def _credential_provider(path: str) -> redis.CredentialProvider:
    """Return the provider of user and password for each connection, as kombu makes it: a class without arguments.

    :raises ConfigError: there is no such class.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        provider = getattr(import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"The credential_provider of the Redis URL, {path}, cannot be made ({type(error).__name__}): write the "
            "import path of a class that takes no arguments, such as mycompany.redis.Provider."
        ) from error
    if not isinstance(provider, redis.CredentialProvider):
        raise ConfigError(
            f"The credential_provider of the Redis URL, {path}, is not a redis.CredentialProvider: derive it from that."
        )
    return provider


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
        self.places = Places(client, self.keys)
        self.warm = WarmPodStore(client, self.keys)
        self.hand_overs = HandOvers(client, self.keys, payload_seconds=payload_seconds)
        self.presence = Presence(client, self.keys)
        self.orders = Orders(client, self.keys)
        self.erasing = Erasing(client, self.keys)
        self.identity = RedisIdentity(client, self.keys)
        self.broker_lists = BrokerLists(client)
        self.census = Census(client, self.keys)
        self.view = StoreView(client, self.keys)

    def launches(self, cluster: str, *, consumer: str) -> LaunchStream:
        """Return the launch stream of a cluster as seen by one consumer."""
        return LaunchStream(self.client, self.keys, cluster=cluster, consumer=consumer)

    def version(self, cluster: str, namespace: str) -> ResourceVersion:
        """Return the stored resource version of a cluster and namespace."""
        return ResourceVersion(self.client, self.keys, cluster=cluster, namespace=namespace)

    @translated
    def ping(self) -> None:
        """Check that Redis answers, and that it can be used.

        :raises StoreUnavailable: it cannot be reached.
        :raises ConfigError: it refuses user or password, is a Redis Cluster, or lacks the database.
        """
        topology.check(self.client, name=URL_OPTIONS)

    @translated
    def check_writes(self) -> None:
        """Write a key that expires a second later: a Redis that answers may still refuse writes.

        :raises StoreUnavailable: Redis refuses the write or cannot be reached; the message says why.
        """
        self.client.set(self.keys.probe, "", ex=1)

    @translated
    def now_milliseconds(self) -> int:
        """Return what time it is by the server's clock, which the times of records are from."""
        clock, micros = self.client.time()
        return int(clock) * 1000 + int(micros) // 1000

    def check_permissions(self, queue_keys: Sequence[str] = ()) -> None:
        """Make sure that the user may do all that the store does.

        :param queue_keys: broker lists on this same Redis that it hands messages to.
        :raises StoreForbidden: it may not; the message names what is missing.
        :raises StoreUnavailable: Redis could not be asked.
        """
        check_permissions(self.client, self._needs(queue_keys))

    def missing_permissions(self, queue_keys: Sequence[str] = ()) -> Missing:
        """Return what the user may not do of all that the store does.

        :param queue_keys: as for :meth:`check_permissions`.
        :raises StoreUnavailable: Redis could not be asked.
        """
        return find_missing(self.client, self._needs(queue_keys))

    def _needs(self, queue_keys: Sequence[str]) -> Needs:
        own = [(f"{self.keys.prefix}*", key) for key in self.keys.examples()]
        queues = [(f"{key}*", key) for key in queue_keys]
        return Needs(commands=STORE_COMMANDS, trial_key=self.keys.trial, keys=[*own, *queues])

    def close(self) -> None:
        """Close all connections."""
        self.client.close()


@translated
def check_server(settings: RedisSettings, *, name: str) -> None:
    """Ask a Redis that holds no store whether it can be used, once.

    :param name: of the option that leads there.
    :raises StoreUnavailable: it cannot be reached.
    :raises ConfigError: it refuses user or password, is a Redis Cluster, or lacks the database.
    """
    client = connect(settings)
    try:
        topology.check(client, name=name)
    finally:
        client.close()


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


def open_configured_store(
    settings: Settings, *, connect_seconds: float = 2.0, answer_seconds: float = 5.0, retries: int = 1
) -> Store:
    """Return the store of a deployment. No connection is made yet.

    :param connect_seconds, answer_seconds, retries: how patient the caller is; see :class:`RedisSettings`.
    :raises ConfigError: no Redis is configured, or URL or instance name cannot be used.
    """
    location = settings.redis or settings.require_redis()
    return open_store(
        RedisSettings(
            url=location.url,
            options=location.options,
            connect_seconds=connect_seconds,
            answer_seconds=answer_seconds,
            retries=retries,
        ),
        instance=settings.instance,
        retention_seconds=settings.record_retention_seconds,
        payload_seconds=int(settings.token_seconds),
    )
