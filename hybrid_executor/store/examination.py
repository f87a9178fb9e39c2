"""What one Redis says of itself, for ``airflow hybrid doctor``. Reads; writes only keys that expire within a second.

Works with every client of redis-py's: that of the store, or one on the connections of kombu. A section of ``INFO`` that
the user may not read is missing from the facts, and is no error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError, ResponseError

from hybrid_executor.store import topology
from hybrid_executor.store.translation import translated

_PINGS = 9
_SECTIONS = ("server", "replication", "memory", "persistence", "clients", "stats")


@dataclass(frozen=True, kw_only=True)
class RedisFacts:
    """What a server says. ``None`` is what it does not say, or not to this user.

    :ivar address: without a password. :ivar user: of the connection, "default" where none is named.
    :ivar server: name and version. :ivar run_id: differs for each start of each server.
    :ivar memory_limit: bytes, 0 for none. :ivar memory_used: bytes.
    :ivar snapshots: the option ``save``, "" for no snapshots.
    :ivar evicted_keys: how many keys were deleted since its start because memory was full.
    """

    address: str
    database: int
    is_tls: bool
    user: str
    server: str | None = None
    run_id: str | None = None
    role: str | None = None
    replication_id: str | None = None
    memory_limit: int | None = None
    memory_used: int | None = None
    eviction_policy: str | None = None
    evicted_keys: int | None = None
    has_append_only_file: bool | None = None
    snapshots: str | None = None
    last_save_status: str | None = None
    clients: int | None = None
    most_clients: int | None = None


@dataclass(frozen=True)
class Pace:
    """How fast a server answers.

    :ivar seconds: median time of an answer. :ivar slowest_seconds: of the slowest one.
    :ivar clock_ahead_seconds: how far the server's clock is ahead of this host's.
    """

    seconds: float
    slowest_seconds: float
    clock_ahead_seconds: float


def client_on(pool: Any) -> redis.Redis:
    """Return a client on a connection pool of redis-py's, such as that of kombu's transport."""
    return redis.Redis(connection_pool=pool)


@translated
def check_answer(client: redis.Redis, *, name: str) -> None:
    """Check that a Redis answers, and has the database; a Redis Cluster passes.

    :param name: of the option that holds the address.
    :raises StoreUnavailable: it cannot be reached.
    :raises ConfigError: it refuses user or password, or lacks the database.
    """
    topology.check_answer(client, name=name)


@translated
def is_cluster(client: redis.Redis) -> bool:
    """Return whether the server is a node of a Redis Cluster.

    :raises StoreUnavailable: it cannot be reached.
    """
    return topology.is_cluster(client)


@translated
def read_facts(client: redis.Redis) -> RedisFacts:
    """Return what the server says of itself.

    :raises StoreUnavailable: it cannot be reached, or refuses all commands.
    """
    info: dict[str, Any] = {}
    for section in _SECTIONS:
        info |= _section(client, section)
    arguments = client.connection_pool.connection_kwargs
    return RedisFacts(
        address=address_of(client),
        database=int(arguments.get("db") or 0),
        is_tls=_is_tls(client),
        user=str(arguments.get("username") or "default"),
        server=_server(info),
        run_id=_text(info, "run_id"),
        role=_text(info, "role"),
        replication_id=_text(info, "master_replid"),
        memory_limit=_number(info, "maxmemory"),
        memory_used=_number(info, "used_memory"),
        eviction_policy=_text(info, "maxmemory_policy"),
        evicted_keys=_number(info, "evicted_keys"),
        has_append_only_file=None if "aof_enabled" not in info else bool(_number(info, "aof_enabled")),
        snapshots=_snapshots(client),
        last_save_status=_text(info, "rdb_last_bgsave_status"),
        clients=_number(info, "connected_clients"),
        most_clients=_number(info, "maxclients"),
    )


@translated
def measure(client: redis.Redis) -> Pace:
    """Return how fast the server answers, and how its clock differs from this host's.

    :raises StoreUnavailable: it cannot be reached.
    """
    client.ping()  # connects
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        client.ping()
        times.append(time.perf_counter() - began)
    before = time.time()
    seconds, micros = client.time()
    middle = (before + time.time()) / 2
    return Pace(statistics.median(times), max(times), seconds + micros / 1e6 - middle)


@translated
def run_a_script(client: redis.Redis, key: str) -> bool:
    """Load a script, run it as ours are run, and return whether it did what it says.

    :param key: of our own, which the script reads.
    :raises StoreUnavailable: Redis cannot be reached, or refuses.
    """
    sha = client.script_load("return redis.call('EXISTS', KEYS[1]) + tonumber(ARGV[1])")
    run: Any = client.evalsha
    return int(run(sha, 1, key, "2")) in (2, 3)


def address_of(client: redis.Redis) -> str:
    """Return where a client's connections lead, without user and password."""
    pool: Any = client.connection_pool
    arguments: Mapping[str, Any] = pool.connection_kwargs
    if arguments.get("path"):
        return str(arguments["path"])
    if hasattr(pool, "service_name"):
        return f"the primary {pool.service_name} of Sentinel"
    return f"{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"


def _is_tls(client: redis.Redis) -> bool:
    kind: Any = client.connection_pool.connection_class
    return issubclass(kind, redis.SSLConnection)


def _section(client: redis.Redis, name: str) -> Mapping[str, Any]:
    ask: Any = client.info
    try:
        found: Mapping[str, Any] = ask(name)
    except NoPermissionError:
        return {}
    except ResponseError as error:
        if type(error) is not ResponseError:  # loading, busy, a lost primary: no fact, but a refusal
            raise
        return {}
    return found


def _snapshots(client: redis.Redis) -> str | None:
    """Return the option ``save``; ``None`` where ``CONFIG`` is not permitted, or has another name."""
    ask: Any = client.config_get
    try:
        found = {_plain(name): _plain(value) for name, value in ask("save").items()}
    except (ResponseError, AttributeError):
        return None
    return found.get("save")


def _server(info: Mapping[str, Any]) -> str | None:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}" if "redis_version" in info else None


def _text(info: Mapping[str, Any], name: str) -> str | None:
    value = info.get(name)
    return None if value in (None, "") else str(value)


def _number(info: Mapping[str, Any], name: str) -> int | None:
    value = info.get(name)
    return int(value) if isinstance(value, int | float) else None


def _plain(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
