"""How a batch of messages is sent over an open connection: in one round trip, where the broker allows it.

RabbitMQ confirms all messages of a batch at its end; a second Redis gets one pipeline; for every other transport each
message is sent by itself. Every way returns the work whose message the broker has not certainly received.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hybrid_executor.pools.celery_message import build_message
from hybrid_executor.pools.work import Work
from hybrid_executor.store import WrongType, is_wrong_type, words_for

Publish = Callable[[Any, Work], None]
"""Publishes the message of one work with a kombu producer."""


class Way(Protocol):
    """One way to send over an open connection."""

    def send(self, batch: Sequence[Work], *, deadline: float) -> list[Work]:
        """Send in order; return what the broker has not certainly received by ``deadline`` (monotonic seconds)."""


class MessageByMessage:
    """Any transport: each message is sent and confirmed by itself."""

    def __init__(self, producer: Any, publish: Publish) -> None:
        self._producer = producer
        self._publish = publish

    def send(self, batch: Sequence[Work], *, deadline: float) -> list[Work]:
        """Send until the deadline."""
        for index, work in enumerate(batch):
            if time.monotonic() >= deadline:
                return list(batch[index:])
            self._publish(self._producer, work)
        return []


class ConfirmedTogether:
    """RabbitMQ: messages go out without waiting, and the confirmations are read at the end of the batch."""

    def __init__(self, producer: Any, publish: Publish) -> None:
        self._producer = producer
        self._publish = publish
        self._channel = producer.channel
        self._next_tag = 1
        self._unconfirmed: dict[int, Work] = {}
        self._refused: dict[int, Work] = {}
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._confirm)
        self._channel.events["basic_nack"].add(self._refuse)

    def send(self, batch: Sequence[Work], *, deadline: float) -> list[Work]:
        """Send all, then wait for RabbitMQ's confirmations."""
        self._refused.clear()
        unsent: list[Work] = []
        for index, work in enumerate(batch):
            if time.monotonic() >= deadline:
                unsent = list(batch[index:])
                break
            self._publish(self._producer, work)
            self._unconfirmed[self._next_tag] = work
            self._next_tag += 1
        while self._unconfirmed and (left := deadline - time.monotonic()) > 0:
            try:
                self._channel.connection.drain_events(timeout=left)
            except TimeoutError:
                break
        doubtful = self._unconfirmed | self._refused
        self._unconfirmed.clear()
        return [doubtful[tag] for tag in sorted(doubtful)] + unsent

    def _confirm(self, tag: int, multiple: bool) -> None:
        self._take(tag, multiple)

    def _refuse(self, tag: int, multiple: bool) -> None:
        self._refused |= self._take(tag, multiple)

    def _take(self, tag: int, multiple: bool) -> dict[int, Work]:
        """Remove and return the work that a confirmation or refusal is about."""
        tags = [known for known in self._unconfirmed if known <= tag] if multiple else [tag]
        return {known: self._unconfirmed.pop(known) for known in tags if known in self._unconfirmed}


class OnePipeline:
    """Another Redis: the messages that kombu would push, in one pipeline.

    :param on_refused: called with each work whose queue's key holds no list; the other messages are sent.
    """

    def __init__(self, producer: Any, *, instance: str, on_refused: Callable[[Work, str], None]) -> None:
        self._on_refused = on_refused
        self._channel = producer.channel
        self._instance = instance

    def send(self, batch: Sequence[Work], *, deadline: float) -> list[Work]:
        """Send all at once; the socket's timeout bounds it."""
        with self._channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            for work in batch:
                message = build_message(
                    work.attempt,
                    work.payload,
                    queue=work.queue,
                    owner=work.owner,
                    instance=self._instance,
                    generation=work.generation,
                )
                pipeline.lpush(work.queue, message)
            answers = pipeline.execute(raise_on_error=False)
        for work, answer in zip(batch, answers, strict=True):
            if is_wrong_type(answer):
                self._on_refused(work, words_for(WrongType.QUEUE, work.queue))
            elif isinstance(answer, Exception):
                raise answer
        return []
