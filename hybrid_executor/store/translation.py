"""Translates errors of Redis into errors of this project; the only place that does."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import redis
from redis.exceptions import AskError, ClusterCrossSlotError, RedisError, ResponseError

from hybrid_executor.errors import KeyMisused, StoreUnavailable
from hybrid_executor.hiding import without_secrets
from hybrid_executor.store.refusals import refusal_of
from hybrid_executor.store.topology import URL_OPTIONS, cluster_refusal
from hybrid_executor.store.wrong_types import is_wrong_type

# After a fail-over the address may lead to another server, but open connections still lead to the old one.
_WRONG_SERVER = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED"})
P = ParamSpec("P")
R = TypeVar("R")


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Let ``function`` raise StoreUnavailable where Redis cannot be asked, KeyMisused where a key holds another type.

    StoreRefused and StoreForbidden are kinds of StoreUnavailable. Any other error reply is a bug of this
    project and is raised as redis-py raises it.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return _carefully(function, *args, **kwargs)
        except (AskError, ClusterCrossSlotError) as error:
            raise cluster_refusal(URL_OPTIONS) from error
        except (RedisError, OSError) as error:
            refusal = refusal_of(error)
            if refusal is not None:
                if refusal.code in _WRONG_SERVER:
                    _drop_idle_connections(args[0] if args else None)
                raise refusal from error
            if is_wrong_type(error):
                raise KeyMisused(
                    f"A Redis key of the hybrid executor holds a value of another type ({error}): find out what writes "
                    "it, and delete the key."
                ) from error
            if isinstance(error, ResponseError):
                raise
            raise StoreUnavailable(f"Redis cannot be reached: {error}") from error

    return call


def _drop_idle_connections(asker: object) -> None:
    """Let the next command use a new connection. Connections that other threads use stay open."""
    client = getattr(asker, "_client", None) or getattr(asker, "client", None)
    if isinstance(client, redis.Redis):
        client.connection_pool.disconnect(inuse_connections=False)


def _carefully(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Remove the commands, which may hold secrets, from errors of redis-py."""
    try:
        return function(*args, **kwargs)
    except RedisError as error:
        without_secrets(error)
        raise
