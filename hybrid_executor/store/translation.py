"""Redis errors become errors of ours here, once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from hybrid_executor.errors import ConfigError, KeyMisused, StoreUnavailable
from hybrid_executor.hiding import without_secrets
from hybrid_executor.store.misfits import is_misfit
from hybrid_executor.store.topology import URL_OPTIONS, cluster_refusal

P = ParamSpec("P")
R = TypeVar("R")


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Let ``function`` raise StoreUnavailable where Redis cannot be asked, ConfigError where it refuses us.

    And KeyMisused where a key holds a value of another type.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return _carefully(function, *args, **kwargs)
        except (AskError, ClusterCrossSlotError) as error:
            raise cluster_refusal(URL_OPTIONS) from error
        except (AuthenticationError, NoPermissionError) as error:
            raise ConfigError(
                f"Redis refused user or password, or a permission is missing ({error}): correct [hybrid_executor] "
                "redis_url, or [celery] broker_url where redis_url is not set."
            ) from error
        except ResponseError as error:
            if is_misfit(error):
                raise KeyMisused(
                    f"A Redis key of the hybrid executor holds something else ({error}): find out what writes it, and "
                    "delete the key."
                ) from error
            if str(error).startswith(("NOAUTH", "WRONGPASS")):
                raise ConfigError(
                    f"Redis refused user or password ({error}): correct [hybrid_executor] redis_url, or [celery] "
                    "broker_url where redis_url is not set."
                ) from error
            if str(error).startswith(("LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM")):
                raise StoreUnavailable(f"Redis cannot serve us now: {error}") from error
            raise
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis cannot be reached: {error}") from error

    return call


def _carefully(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Let errors of redis-py not show the commands that they are about."""
    try:
        return function(*args, **kwargs)
    except RedisError as error:
        without_secrets(error)
        raise
