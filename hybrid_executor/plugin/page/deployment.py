"""The settings and the Redis of this deployment, as the API server is configured."""

from __future__ import annotations

import threading

from hybrid_executor.config import airflow_config
from hybrid_executor.config.settings import Settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.store import Store, open_configured_store

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 3.0


class Deployment:
    """Reads the configuration when it is first needed; a wrong one is read again each time, until it is right."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: tuple[Settings, Store] | None = None

    def open(self) -> tuple[Settings, Store]:
        """Return settings and store. The store's connections are shared by all threads.

        :raises ConfigError: the configuration is wrong.
        """
        with self._lock:
            if self._opened is None:
                settings = read_configured_settings(airflow_config())
                store = open_configured_store(
                    settings, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS, retries=0
                )
                self._opened = settings, store
            return self._opened

    def close(self) -> None:
        """Close all connections. The next question opens new ones."""
        with self._lock:
            if self._opened is not None:
                self._opened[1].close()
                self._opened = None
