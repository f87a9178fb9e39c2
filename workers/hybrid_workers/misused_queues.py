"""Queues whose Redis key does not hold messages: they are not served, and all others are.

A worker asks for the next message of all its queues at once, and Redis refuses the whole question because of one such
key. So these queues are left out, with an error that says what to do, and are served again when the key is gone.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.consumer import Consumer  # type: ignore[import-untyped]

from hybrid_executor.errors import StoreRefused
from hybrid_executor.store import is_wrong_type

log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 5.0


class MisusedQueues:
    """The queues that one worker leaves out. Used by its main thread alone."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._looked_at = 0.0

    def leave_out(self, consumer: Consumer) -> StoreRefused | None:
        """Find the queues that the broker complained about; the next connection does not ask for them.

        :return: what is wrong where it is none of the queues: a key of the broker's own books. The worker has to wait.
        :raises Exception: the broker cannot be asked.
        """
        queues = consumer.app.amqp.queues
        found = len(self._names)
        with consumer.app.connection_for_write() as connection:
            channel = connection.default_channel
            if not hasattr(channel, "priority_steps"):
                return None
            for queue in list(queues.consume_from):
                key = _misused_key(channel, queue)
                if key:
                    queues.deselect(queue)
                    self._names.add(queue)
                    log.error(
                        "Queue %s is not served: the Redis key %s holds a value that is not a list of messages. Find "
                        "out what writes it, and delete it: redis-cli DEL '%s'",
                        queue,
                        key,
                        key,
                    )
            return None if len(self._names) > found else _broken_books(channel)

    def serve_again(self, consumer: Consumer, *, now: float) -> None:
        """Serve the queues again whose key is in order; asks every few seconds.

        :param now: monotonic seconds.
        """
        if not self._names or now - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        channel = consumer.task_consumer.channel
        for queue in sorted(self._names):
            if not _misused_key(channel, queue):
                self._names.discard(queue)
                consumer.app.worker_life.duty.serve(queue, consumer)
                log.info("Queue %s is served again", queue)


def _misused_key(channel: Any, queue: str) -> str:
    """Return the key of a queue that holds something else than a list, "" for none; there is one for each priority."""
    for priority in channel.priority_steps:
        key: str = channel._q_for_pri(queue, priority)
        try:
            channel.client.llen(key)
        except Exception as error:
            if not is_wrong_type(error):
                raise
            return f"{channel.global_keyprefix}{key}"
    return ""


def _broken_books(channel: Any) -> StoreRefused | None:
    """Return which key of kombu's books on unacknowledged messages holds something else."""
    for key, count in ((channel.unacked_key, channel.client.hlen), (channel.unacked_index_key, channel.client.zcard)):
        try:
            count(key)
        except Exception as error:
            if not is_wrong_type(error):
                raise
            return StoreRefused(
                f"Celery cannot note which messages it has taken: the Redis key {channel.global_keyprefix}{key} holds "
                "something else. Find out what writes it, and delete it",
                code="WRONGTYPE",
            )
    return None
