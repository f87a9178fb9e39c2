"""What a scheduler checks of the Celery broker when it starts."""

from __future__ import annotations

from contextlib import suppress

from hybrid_executor.config import Settings
from hybrid_executor.config.broker import redis_client_arguments
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.store import RedisSettings, check_server


def check_broker(settings: Settings) -> None:
    """Check a Redis broker that is not the store's Redis. A broker that is unavailable is not an error.

    :raises ConfigError: it is a Redis Cluster, or it refuses the user or the password.
    """
    if not settings.broker.is_redis or settings.broker_is_store:
        return
    url, options = redis_client_arguments(settings.broker)
    with suppress(StoreUnavailable):
        check_server(
            RedisSettings(url=url, options=options, connect_seconds=1.0, answer_seconds=2.0), name="[celery] broker_url"
        )
