"""Sends messages to a broker that is not the store's Redis: RabbitMQ, SQS, another Redis.

Promises: a batch takes one connection, one round trip where the broker allows it, and little longer than its deadline
(a broker that stops answering costs a socket timeout more). An unavailable broker raises nothing: the unsent work is
returned, and the waits between two connections grow, so that nothing else is delayed. A message may have been sent
although its work is returned as unsent; the worker's claim makes that harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from celery.app.amqp import task_message  # type: ignore[import-untyped]
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerUnavailable

from hybrid_executor.backoff import Backoff
from hybrid_executor.complaints import Complaints
from hybrid_executor.config.celery import CelerySettings, build_celery_config
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.pools.celery_message import TASK_NAME, build_headers
from hybrid_executor.pools.celery_ways import ConfirmedTogether, MessageByMessage, OnePipeline, Way
from hybrid_executor.pools.work import Work
from hybrid_executor.store import explain

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first_seconds=0.5, most_seconds=10)
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class BrokerSender:
    """Sends work through Celery's own publishing, so that queues are declared as workers declare them."""

    def __init__(self, settings: CelerySettings, *, instance: str) -> None:
        self._instance = instance
        self._seconds = settings.operation_timeout_seconds
        self._broker = settings.broker
        self._app = Celery(settings.app_name, set_as_current=False)
        self._app.config_from_object(
            {
                **build_celery_config(settings, default_queue=settings.default_queue),
                "broker_connection_timeout": self._seconds,
                "broker_transport_options": _transport_options(settings),
                "task_publish_retry": False,
            }
        )
        self._connection: Any = None
        self._way: Way | None = None
        self._refused: list[tuple[Work, str]] = []
        self._complaints = Complaints()
        self._is_down = False
        self._failed_tries = 0
        self._closed_until = 0.0

    def send(self, batch: Sequence[Work]) -> list[Work]:
        """Send a batch in order; return the work that was not sent, for a later try.

        The first failure ends the batch, and the next batch connects again. After a second failure there is a pause
        before the next connection. An outage is logged once, and its end once.
        """
        if not batch or time.monotonic() < self._closed_until:
            return list(batch)
        deadline = time.monotonic() + self._seconds
        try:
            way = self._way = self._way or self._connect()
            unsent = way.send(batch, deadline=deadline)
            if len(unsent) == len(batch):
                raise TimeoutError(f"no answer within {self._seconds} s")
        except self._failures as error:
            is_of_message = self._is_of_message(error)
            self._drop_connection()
            if is_of_message:
                return self._send_apart(batch, error, deadline=deadline)
            self._note_down(error, waiting=len(batch))
            return list(batch)
        if unsent:
            log.warning("The broker is slow: %d of %d messages wait for the next batch", len(unsent), len(batch))
        self._note_up()
        return unsent

    def take_refused(self) -> list[tuple[Work, str]]:
        """Return the work that the broker will never accept, with the reasons, and forget it."""
        refused, self._refused = self._refused, []
        return refused

    def _send_apart(self, batch: Sequence[Work], error: Exception, *, deadline: float) -> list[Work]:
        """Send a batch again of which RabbitMQ refused one message: in halves, until that message is alone."""
        if len(batch) == 1:
            self._refuse(batch[0], f"The broker refused the message for queue {batch[0].queue!r}: {error}")
            return []
        if time.monotonic() >= deadline:
            return list(batch)
        middle = len(batch) // 2
        return [*self.send(batch[:middle]), *self.send(batch[middle:])]

    def _refuse(self, work: Work, reason: str) -> None:
        self._refused.append((work, reason))

    def _is_of_message(self, error: Exception) -> bool:
        """Return whether a failure is about one message's queue (no permission, other settings), not the broker."""
        if not self._broker.is_amqp or self._connection is None:
            return False
        return isinstance(error, self._connection.channel_errors) and not isinstance(
            error, self._connection.connection_errors
        )

    def close(self) -> None:
        """Close the connection."""
        self._drop_connection()
        self._app.close()

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        known: tuple[type[Exception], ...] = (BrokerUnavailable, KombuError, OSError)
        if self._connection is not None:
            known += (*self._connection.connection_errors, *self._connection.channel_errors)
        return known

    def _publish(self, producer: Any, work: Work) -> None:
        headers = build_headers(
            work.attempt, owner=work.owner, instance=self._instance, pool="celery", generation=work.generation
        )
        message = task_message(
            headers=headers,
            properties={"correlation_id": work.attempt, "reply_to": ""},
            body=((work.payload,), {}, _EMBED),
            sent_event=None,
        )
        self._app.amqp.send_task_message(producer, TASK_NAME, message, queue=work.queue, retry=False)

    def _connect(self) -> Way:
        """Connect, and return a way over a new channel; kombu's default channel would reconnect without end."""
        self._connection = self._app.connection_for_write()
        self._connection.ensure_connection(
            max_retries=1, interval_start=0, interval_step=0, interval_max=0, timeout=self._seconds
        )
        producer = self._app.amqp.Producer(self._connection.channel())
        if self._broker.is_amqp:
            return ConfirmedTogether(producer, self._publish)
        if self._broker.is_redis:
            return OnePipeline(producer, instance=self._instance, on_refused=self._refuse)
        return MessageByMessage(producer, self._publish)

    def _drop_connection(self) -> None:
        connection, self._connection, self._way = self._connection, None, None
        if connection is None:
            return
        try:
            # Not closed in the regular way: a broker that hangs would let us wait for its answer.
            connection.collect(socket_timeout=self._seconds)
        except self._failures as error:
            log.debug("The connection to the broker was broken already: %s", hide_secrets(str(error)))

    def _note_down(self, error: Exception, *, waiting: int) -> None:
        if self._is_down:
            self._failed_tries += 1
            self._closed_until = time.monotonic() + _BACKOFF.seconds(self._failed_tries)
        self._complaints.report(
            "broker",
            "The broker cannot be reached (%s); %d messages wait until it can",
            hide_secrets(explain(error)),
            waiting,
            cause="unreachable",
            level=logging.ERROR,
        )
        self._is_down = True

    def _note_up(self) -> None:
        self._complaints.settle("broker", "The broker can be reached again")
        self._is_down = False
        self._failed_tries = 0


def _transport_options(settings: CelerySettings) -> dict[str, Any]:
    """Return the deployment's transport options, with a timeout for each network call where none is set."""
    seconds, options = settings.operation_timeout_seconds, settings.broker.transport_options
    if settings.broker.is_redis:
        return {"socket_timeout": seconds, "socket_connect_timeout": seconds, **options}
    if settings.broker.is_amqp:
        # We wait for confirmations once per batch; kombu would wait after each message.
        return {"read_timeout": seconds, "write_timeout": seconds, **options, "confirm_publish": False}
    return dict(options)
