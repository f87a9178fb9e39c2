"""The broker as Celery's own client (kombu) reaches it, for ``airflow hybrid doctor``. Sends no message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kombu
from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerUnavailable

from hybrid_executor.config.celery import CelerySettings, build_celery_config
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.store import Missing, broker_needs, explain, refusal_of
from hybrid_executor.store.examination import client_on
from hybrid_executor.store.permissions import find_missing

_SECONDS = 2.0


class BrokerExamination:
    """One connection to the broker, made as a worker makes it, but with short time limits.

    :param settings: of the deployment.
    """

    def __init__(self, settings: CelerySettings) -> None:
        self._broker = settings.broker
        limits: dict[str, Any] = {}
        if self._broker.is_redis:
            limits = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        self._app = Celery(settings.app_name, set_as_current=False)
        self._app.config_from_object(
            {
                **build_celery_config(settings, default_queue=settings.default_queue),
                "broker_connection_timeout": _SECONDS,
                "broker_transport_options": {**self._broker.transport_options, **limits},
            }
        )
        self._connection: Any = None
        self._channel: Any = None

    @property
    def address(self) -> str:
        """The broker's URL as Celery understands it, without the password."""
        return hide_secrets(str(self._app.connection_for_read().as_uri()))

    def connect(self) -> None:
        """Connect, and open a channel.

        :raises StoreUnavailable: the broker cannot be reached, or refuses; the message says why.
        """
        self._connection = self._app.connection_for_read()
        try:
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, interval_max=0, timeout=_SECONDS
            )
            self._channel = self._connection.channel()
        except (BrokerUnavailable, KombuError, OSError, *self._connection.connection_errors) as error:
            refusal = refusal_of(error)
            if refusal is not None:
                raise refusal from error
            raise StoreUnavailable(f"Celery's client cannot reach the broker: {explain(error)}") from error

    @property
    def redis_client(self) -> Any:
        """A client on the connections that kombu has made, after :meth:`connect`. For a Redis only."""
        return client_on(self._channel.pool)

    @property
    def key_prefix(self) -> str:
        """What kombu puts before each key."""
        return str(self._channel.global_keyprefix)

    def missing_permissions(self, queues: Sequence[str]) -> Missing:
        """Try each command, key pattern and channel that kombu's Redis transport needs for a worker of ``queues``.

        :return: what the user may not do.
        :raises StoreUnavailable: the broker could not be asked.
        """
        channel = self._channel
        needs = broker_needs(
            prefix=channel.global_keyprefix,
            unacked_key=channel.unacked_key,
            fanout_prefix=channel.keyprefix_fanout,
            queues=queues,
            name="-",
            has_remote_control=bool(self._app.conf.worker_enable_remote_control),
            kombu_version=(kombu.VERSION.major, kombu.VERSION.minor),
        )
        return find_missing(self.redis_client, needs)

    def close(self) -> None:
        """Close the connection, without waiting for a broker that hangs."""
        if self._connection is not None:
            self._connection.collect(socket_timeout=_SECONDS)
        self._app.close()
