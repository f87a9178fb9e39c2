"""Which permissions a Redis user lacks. They are found by trying, so that the user needs no right to read ACLs.

Each command is tried on an unused key, which holds a text for a second. The server checks permissions first and then
refuses most commands because of the type of the key. Each key pattern is tried by reading one key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import RedisError

from hybrid_executor.errors import StoreForbidden
from hybrid_executor.store.refusals import code_of
from hybrid_executor.store.translation import translated

_KEY = "<key>"
_NO_SCRIPT = "0" * 40
_MOST_SECONDS = 2.0

_TRIALS: dict[str, Sequence[str]] = {
    "SET": (_KEY, "", "EX", "1"),
    "GET": (_KEY,),
    "DEL": (_KEY,),
    "EXISTS": (_KEY,),
    "EXPIRE": (_KEY, "1"),
    "PEXPIRE": (_KEY, "1000"),
    "HSET": (_KEY, "f", "v"),
    "HSETNX": (_KEY, "f", "v"),
    "HGET": (_KEY, "f"),
    "HMGET": (_KEY, "f"),
    "HGETALL": (_KEY,),
    "HDEL": (_KEY, "f"),
    "HEXISTS": (_KEY, "f"),
    "HINCRBY": (_KEY, "f", "1"),
    "SADD": (_KEY, "m"),
    "SREM": (_KEY, "m"),
    "SMEMBERS": (_KEY,),
    "SSCAN": (_KEY, "0"),
    "ZADD": (_KEY, "0", "m"),
    "ZREM": (_KEY, "m"),
    "ZRANGE": (_KEY, "0", "0"),
    "ZRANGEBYSCORE": (_KEY, "0", "0"),
    "ZREVRANGEBYSCORE": (_KEY, "0", "0"),
    "ZREMRANGEBYSCORE": (_KEY, "0", "0"),
    "ZSCORE": (_KEY, "m"),
    "ZCARD": (_KEY,),
    "LPUSH": (_KEY, "x"),
    "RPUSH": (_KEY, "x"),
    "LRANGE": (_KEY, "0", "0"),
    "LREM": (_KEY, "1", "x"),
    "LTRIM": (_KEY, "0", "0"),
    "LLEN": (_KEY,),
    "LINDEX": (_KEY, "0"),
    "BRPOP": (_KEY, "0.01"),
    "XADD": (_KEY, "NOMKSTREAM", "*", "f", "v"),
    "XLEN": (_KEY,),
    "XRANGE": (_KEY, "-", "+", "COUNT", "1"),
    "XREAD": ("COUNT", "1", "STREAMS", _KEY, "0"),
    "XREVRANGE": (_KEY, "+", "-", "COUNT", "1"),
    "XDEL": (_KEY, "0-1"),
    "XTRIM": (_KEY, "MAXLEN", "0"),
    "XACK": (_KEY, "g", "0-1"),
    "XGROUP": ("DESTROY", _KEY, "g"),
    "XREADGROUP": ("GROUP", "g", "c", "COUNT", "1", "STREAMS", _KEY, ">"),
    "XAUTOCLAIM": (_KEY, "g", "c", "0", "0", "COUNT", "1"),
    "XCLAIM": (_KEY, "g", "c", "0", "0-1", "JUSTID"),
    "XPENDING": (_KEY, "g"),
    "XINFO": ("CONSUMERS", _KEY, "g"),
    "EVALSHA": (_NO_SCRIPT, "1", _KEY),
    "SCRIPT": ("LOAD", "return 1"),
    "TIME": (),
    "INFO": ("server",),
    "PING": (),
    "WATCH": (_KEY,),
    "UNWATCH": (),
    "MULTI": (),
    "EXEC": (),
}
_LAST = ("EXPIRE", "PEXPIRE", "DEL", "MULTI", "EXEC")  # the trial key stays for no longer than a second

_BROKERS_ONLY = {"BRPOP", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "WATCH", "UNWATCH"}
STORE_COMMANDS = tuple(sorted(_TRIALS.keys() - _BROKERS_ONLY))
"""What executor, agents and workers do with the instance's own keys, in scripts and outside of them."""

BROKER_COMMANDS = (
    *("PING", "BRPOP", "LPUSH", "RPUSH", "LLEN", "HSET", "HGET", "HDEL", "ZADD", "ZREM", "ZRANGE", "ZRANGEBYSCORE"),
    *("SADD", "SREM", "SMEMBERS", "SET", "GET", "DEL", "EXISTS", "TIME"),
    *("EVALSHA", "SCRIPT", "WATCH", "UNWATCH", "MULTI", "EXEC"),
)
"""What kombu's Redis transport does with the broker's keys."""

_OF_OLDER_KOMBU = ("ZREVRANGEBYSCORE",)
"""Before 5.7, kombu finds messages that are not acknowledged in time by this command, and by ZRANGE since."""
_NEWER_KOMBU = (5, 7)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a user has to be allowed.

    :ivar trial_key: a key that nobody uses, under a pattern that is needed; commands are tried on it.
    :ivar keys: key patterns as the ACL names them, and a key of each to try it on.
    :ivar channels: patterns as they are subscribed to; the ACL must hold each literally.
    """

    commands: Sequence[str]
    trial_key: str
    keys: Sequence[tuple[str, str]] = ()
    channels: Sequence[str] = ()


def broker_needs(
    *,
    prefix: str,
    unacked_key: str,
    fanout_prefix: str,
    queues: Sequence[str],
    name: str,
    has_remote_control: bool,
    kombu_version: tuple[int, int],
) -> Needs:
    """Return what a worker's user needs at the broker.

    :param prefix: ``global_keyprefix``. :param unacked_key: as kombu names it.
    :param fanout_prefix: of the channels that all workers hear, with the database.
    :param queues: that the worker serves. :param name: of the worker.
    :param kombu_version: major and minor, since releases use different commands.
    """
    keys = [(f"{queue}*", queue) for queue in queues]
    keys += [("_kombu.binding*", "_kombu.binding.-"), ("unacked*", unacked_key)]
    channels = []
    if has_remote_control:
        keys += [("*.reply.celery.pidbox*", "-.reply.celery.pidbox"), ("*.celery.pidbox*", f"{name}.celery.pidbox")]
        channels.append(f"{fanout_prefix}celery.pidbox")
    return Needs(
        commands=BROKER_COMMANDS if kombu_version >= _NEWER_KOMBU else (*BROKER_COMMANDS, *_OF_OLDER_KOMBU),
        trial_key=f"{prefix}{unacked_key}_trial",
        keys=[(prefix + pattern, prefix + key) for pattern, key in keys],
        channels=[prefix + channel for channel in channels],
    )


@dataclass(frozen=True)
class Missing:
    """What a user is not allowed; false where that is nothing.

    :ivar channels: each with the commands that fail on it.
    """

    user: str
    commands: Sequence[str] = ()
    keys: Sequence[str] = ()
    channels: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys or self.channels)

    def __str__(self) -> str:
        parts = (
            ("the commands", self.commands),
            ("the key patterns", self.keys),
            ("the channels", self.channels),
        )
        return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


@translated
def find_missing(client: redis.Redis, needs: Needs) -> Missing:
    """Return what the user of ``client`` is not allowed of ``needs``.

    :raises StoreUnavailable: Redis could not be asked.
    """
    return Missing(
        user=client.connection_pool.connection_kwargs.get("username") or "default",
        commands=_missing_commands(client, needs),
        keys=_missing_keys(client, needs),
        channels=[text for channel in needs.channels for text in _missing_channels(client, channel)],
    )


def check_permissions(client: redis.Redis, needs: Needs) -> None:
    """Make sure that the user of ``client`` is allowed all of ``needs``.

    :raises StoreForbidden: it is not; the message names each command, key pattern and channel that is missing.
    :raises StoreUnavailable: Redis could not be asked.
    """
    missing = find_missing(client, needs)
    if missing:
        raise StoreForbidden(
            f"The ACL of the Redis user {missing.user} lacks {missing}: grant them (docs/redis.md has the whole "
            "list), or name another user in [hybrid_executor] redis_url ([celery] broker_url where redis_url is not "
            "set).",
            code="NOPERM",
        )


def check_broker_permissions(pool: Any, needs: Needs) -> None:
    """Do the same for the user of kombu's connections.

    :param pool: a connection pool of redis-py's.
    """
    check_permissions(redis.Redis(connection_pool=pool), needs)


def _missing_commands(client: redis.Redis, needs: Needs) -> list[str]:
    """Return what is forbidden; nothing where all is, since then it is the key that is."""
    order = [name for name in needs.commands if name not in _LAST] + [name for name in _LAST if name in needs.commands]
    calls = [[name, *(needs.trial_key if part == _KEY else part for part in _TRIALS[name])] for name in order]
    answers = _ask(client, calls)
    forbidden = [name for name, answer in zip(order, answers, strict=True) if code_of(answer) == "NOPERM"]
    on_keys = [name for name in order if _KEY in _TRIALS[name]]
    if set(on_keys) <= set(forbidden):
        return [name for name in forbidden if name not in on_keys]
    return sorted(forbidden)


def _missing_keys(client: redis.Redis, needs: Needs) -> list[str]:
    """Return the patterns whose key cannot even be read, by any of two commands: one of them may be missing itself."""
    calls = [[command, key] for _, key in needs.keys for command in ("EXISTS", "GET")]
    are_forbidden = [code_of(answer) == "NOPERM" for answer in _ask(client, calls)]
    missing = [
        pattern for index, (pattern, _) in enumerate(needs.keys) if all(are_forbidden[2 * index : 2 * index + 2])
    ]
    return list(dict.fromkeys(missing))


def _ask(client: redis.Redis, calls: Iterable[Sequence[str]]) -> list[Any]:
    """Send commands over a connection of their own and return answers, errors among them.

    :raises redis.RedisError: there is no connection.
    """
    connection: Any = client.connection_pool.make_connection()
    wanted = list(calls)
    try:
        connection.connect()
        connection.send_packed_command(connection.pack_commands(wanted))
        return [_read(connection) for _ in wanted]
    finally:
        connection.disconnect()


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _missing_channels(client: redis.Redis, channel: str) -> list[str]:
    """Return how a channel cannot be used, with its name."""
    make_subscription: Any = client.pubsub
    subscription = make_subscription()
    missing = []
    try:
        client.publish(channel, "")  # kombu takes no notice of an empty message
    except RedisError as error:
        missing += _commands_if_forbidden(error, "PUBLISH")
    try:
        subscription.psubscribe(channel)
        subscription.get_message(timeout=_MOST_SECONDS)
    except RedisError as error:
        missing += _commands_if_forbidden(error, "PSUBSCRIBE")
    finally:
        subscription.close()
    return [f"{channel} ({' and '.join(missing)})"] if missing else []


def _commands_if_forbidden(error: RedisError, command: str) -> list[str]:
    if code_of(error) != "NOPERM":
        raise error
    return [command]
