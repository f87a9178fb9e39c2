"""The Celery pool: work becomes a message on the Celery queue of the same name.

Where the broker is the store's Redis, message and record are written in one transaction. With another broker the record
is written first, and :meth:`CeleryPool.publish` sends the message after it; a message that was not sent is sent later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.config.celery import explain_without_effect, read_celery_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.celery_message import build_message, read_attempt
from hybrid_executor.pools.queue_names import check_queue_name
from hybrid_executor.pools.work import SENT_FIELD, Work
from hybrid_executor.store import Record, Store, Submission

FIRST_OWNER_FIELD = "sender"
"""Field of a record: the owner that its message names. After an adoption the record has another owner."""


class Sender(Protocol):
    """A way to a broker."""

    def send(self, batch: Sequence[Work]) -> list[Work]:
        """Send in order; return what was not sent."""

    def take_refused(self) -> list[tuple[Work, str]]:
        """Return, once, the work that the broker will never accept, with the reasons."""

    def close(self) -> None:
        """Close the connection."""


class CeleryPool:
    """Gives work to Celery workers.

    :param sender: the way to the broker; ``None`` where the broker is the store's Redis.
    :param key_prefix: what the broker's transport puts in front of its Redis keys (``global_keyprefix``).
    :param redis_options: the transport options of a Redis broker, ``None`` for any other broker.
    """

    name = "celery"

    def __init__(
        self,
        *,
        instance: str,
        sender: Sender | None = None,
        key_prefix: str = "",
        redis_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._instance = instance
        self._redis_options = redis_options if redis_options is not None else {} if sender is None else None
        self._sender = sender
        self._key_prefix = key_prefix
        self._check_queue = lru_cache(maxsize=4096)(self._check_new_queue)  # an error is not kept

    @property
    def has_own_broker(self) -> bool:
        """Messages go to a broker that is not the store's Redis, after the record."""
        return self._sender is not None

    def queue_key(self, queue: str) -> str:
        """Return the Redis list that workers of ``queue`` take messages from."""
        return self._key_prefix + queue

    def list_key(self, queue: str) -> str:
        """Return :meth:`queue_key` where the broker is the store's Redis, "" where it is not."""
        return "" if self._sender is not None else self.queue_key(queue)

    def oldest_waiting(self, store: Store, queue: str) -> float:
        """Return when the next message of a queue was submitted; messages of later submissions are in it still.

        A queue gives out the oldest message first.

        :return: milliseconds on the Redis server's clock; infinity where the queue is empty or nothing is known.
        """
        return math.inf if self._sender is not None else self._reached(store, queue) or math.inf

    def lost(self, store: Store, records: Sequence[Record]) -> list[Record]:
        """Return those of submitted records that no worker has and whose message is certainly in no queue.

        A queue gives out the oldest message first, so a message that is older than the next one has left the queue.
        With a broker of its own, only messages that were never sent are known to be in no queue.
        """
        if self._sender is not None:
            return [record for record in records if SENT_FIELD not in record.extra]
        reached = {queue: self._reached(store, queue) for queue in {record.queue for record in records}}
        return [record for record in records if record.submitted_at < reached[record.queue]]

    def _reached(self, store: Store, queue: str) -> float:
        """Return when the next message of a queue was submitted: infinity where there is none, 0 if it is unknown."""
        text = store.broker_lists.next_message(self.queue_key(queue))
        if not text:
            return math.inf
        attempt = read_attempt(text)
        record = store.attempts.records([attempt])[0] if attempt else None
        # An attempt that was submitted again or went on to another target may still have its first message, which is
        # older than its record says.
        is_first = record is not None and not record.launches and not record.moves
        return record.submitted_at if record is not None and is_first else 0

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to submit ``work``, with its message where the broker is the store's Redis.

        :raises TaskRejected: the broker cannot have a queue of that name.
        """
        self._check_queue(work.queue)
        queue_key = message = ""
        if self._sender is None:
            queue_key = self.queue_key(work.queue)
            message = self._message(
                work.attempt, work.payload, queue=work.queue, owner=work.owner, generation=work.generation
            )
        return Submission(
            attempt=work.attempt,
            owner=work.owner,
            pool=self.name,
            fields={**work.record_fields(), FIRST_OWNER_FIELD: work.owner},
            payload=work.payload,
            expected_generation=work.expected_generation,
            placement=work.placement,
            queue_key=queue_key,
            message=message,
        )

    def _check_new_queue(self, queue: str) -> None:
        if self._redis_options is not None:
            check_queue_name(queue, key_prefix=self._key_prefix, transport_options=self._redis_options)

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Send the messages of recorded work, in order; return the work whose message was not sent.

        Does nothing where the broker is the store's Redis. Never raises because a broker is unavailable, and takes
        little longer than ``[celery] operation_timeout``. Publishing the same work twice is harmless.
        """
        return self._sender.send(batch) if self._sender is not None else []

    def take_refused(self) -> list[tuple[Work, str]]:
        """Return, once, the work that the broker will never accept, with the reasons; do not publish it again."""
        return self._sender.take_refused() if self._sender is not None else []

    def unsend(self, store: Store, record: Record, payload: str) -> bool:
        """Remove the message of a waiting attempt from its queue; return whether it was there.

        False with a broker of its own, and for a message that a worker holds: when the record is revoked, a worker
        cannot claim such an attempt any more.

        :param payload: the workload as it was submitted.
        :raises StoreUnavailable: Redis could not be asked.
        """
        if self._sender is not None:
            return False
        owner = OwnerId(record.extra.get(FIRST_OWNER_FIELD, record.owner))
        message = self._message(record.id, payload, queue=record.queue, owner=owner, generation=record.generation)
        return store.broker_lists.remove_message(self.queue_key(record.queue), message)

    def close(self) -> None:
        """Close the connection to the broker."""
        if self._sender is not None:
            self._sender.close()

    def _message(self, attempt: AttemptId, payload: str, *, queue: str, owner: OwnerId, generation: int) -> str:
        return build_message(attempt, payload, queue=queue, owner=owner, instance=self._instance, generation=generation)


def make_celery_pool(conf: ConfigSource, settings: Settings) -> CeleryPool:
    """Return the pool of a deployment. No connection is made yet.

    :raises ConfigError: a setting of ``[celery]`` is wrong.
    """
    celery = read_celery_settings(conf)
    explain_without_effect(celery)
    if settings.broker_is_store:
        options = celery.broker.transport_options
        return CeleryPool(instance=settings.instance, key_prefix=celery.broker.key_prefix, redis_options=options)
    from hybrid_executor.pools.celery_sender import BrokerSender

    return CeleryPool(
        instance=settings.instance,
        sender=BrokerSender(celery, instance=settings.instance),
        key_prefix=celery.broker.key_prefix if celery.broker.is_redis else "",
        redis_options=celery.broker.transport_options if celery.broker.is_redis else None,
    )
