"""Which kinds of Redis can hold the state, and which error the others get.

A Redis Cluster cannot. Celery keeps the messages of a queue in a list with the queue's name, so they are in other slots
than the records that are written in the same transaction. Celery's transport does not support a cluster either.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.exceptions import NoPermissionError, ResponseError

from hybrid_executor.errors import ConfigError

URL_OPTIONS = "[hybrid_executor] redis_url (or [celery] broker_url, where that is not set)"


def cluster_refusal(name: str) -> ConfigError:
    """Return the error for a Redis Cluster.

    :param name: of the option that holds the address.
    """
    return ConfigError(
        f"{name} leads to a Redis Cluster (cluster-enabled yes), which cannot be used: Celery's queues and the records "
        "of their tasks are not in one slot, and Celery does not support a cluster. Use one Redis or Valkey, with "
        "replicas and Sentinel for fail-over, or a managed one with cluster mode disabled."
    )


def check(client: redis.Redis, *, name: str) -> None:
    """Check that a Redis answers, and that it can be used.

    :param name: of the option that holds the address.
    :raises ConfigError: it is a Redis Cluster, or has no database of that number.
    :raises redis.RedisError: it could not be asked.
    """
    check_answer(client, name=name)
    if is_cluster(client):
        raise cluster_refusal(name)


def check_answer(client: redis.Redis, *, name: str) -> None:
    """Check that a Redis answers, and has the database.

    :param name: of the option that holds the address.
    :raises ConfigError: it has no database of that number.
    :raises redis.RedisError: it could not be asked.
    """
    try:
        client.ping()
    except ResponseError as error:
        database = client.connection_pool.connection_kwargs.get("db", 0)
        if type(error) is not ResponseError or not database or not _answers_in_first_database(client):
            raise
        raise ConfigError(
            f"{name} names database {database}, which does not exist on that Redis: write a smaller number, or raise "
            "'databases' in redis.conf."
        ) from error


def _answers_in_first_database(client: redis.Redis) -> bool:
    pool = client.connection_pool
    arguments = {**pool.connection_kwargs, "db": 0}
    try:
        with redis.Redis.from_pool(redis.ConnectionPool(connection_class=pool.connection_class, **arguments)) as other:
            return bool(other.ping())
    except (redis.RedisError, TypeError):  # Sentinel's connections need a pool of their own
        return False


def is_cluster(client: redis.Redis) -> bool:
    """Return whether the server is a node of a Redis Cluster; ``False`` where that cannot be found out.

    :raises redis.RedisError: it could not be asked.
    """
    try:
        return int(client.info("cluster").get("cluster_enabled", 0)) == 1
    except NoPermissionError:
        pass
    except ResponseError:
        return False
    try:
        ask: Any = client.execute_command
        answer = ask("HELLO")
    except ResponseError:
        return False
    fields = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    return str(fields.get("mode")) == "cluster"
