"""What the commands that ask share: the store and the settings, with little patience for a server that is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_executor.config import Settings, process_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.store import Store, open_configured_store

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 3.0


@contextmanager
def configured() -> Iterator[tuple[Store, Settings]]:
    """Give the store and the settings of the deployment. Redis has not been asked yet.

    :raises ConfigError: a setting is wrong, or no Redis is configured.
    """
    settings = read_configured_settings(process_config())
    settings.require_redis()
    store = open_configured_store(settings, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS, retries=0)
    try:
        yield store, settings
    finally:
        store.close()
