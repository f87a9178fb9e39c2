"""What a Redis broker has refused from this worker, kept until it takes it: a full or read-only one takes no writes.

kombu takes a message off its list first and notes it as unacknowledged after that. Where the note is refused, the
message would be lost. The same holds for messages that are to go back to their queue, and for acknowledgements.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from kombu.utils import json

from hybrid_executor.backoff import Backoff
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import StoreRefused
from hybrid_executor.store import refusal_of

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first_seconds=1, most_seconds=10)
_FORGOTTEN_AFTER_SECONDS = 60.0


dump: Callable[[Any], str] = json.dumps


class Debts:
    """The debts of one worker. Used by its main thread alone."""

    def __init__(self) -> None:
        self._messages: list[tuple[Any, str, str]] = []
        self._to_restore: dict[str, None] = {}
        self._to_acknowledge: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._messages) + len(self._to_restore) + len(self._to_acknowledge)

    def keep(self, message: Any) -> None:
        """Keep a message that is in no queue and not noted as unacknowledged."""
        delivery = message.delivery_info
        self._messages.append((message._raw, delivery["exchange"], delivery["routing_key"]))

    def restore_later(self, tag: str) -> None:
        """Remember to put an unacknowledged message back into its queue."""
        self._to_restore[tag] = None

    def acknowledge_later(self, tag: str) -> None:
        """Remember to acknowledge a message; it is not to go back to its queue any more."""
        self._to_acknowledge[tag] = None
        self._to_restore.pop(tag, None)

    def settle(self, channel: Any) -> None:
        """Do what is owed over a channel of kombu's Redis transport; what is refused again stays owed.

        :raises StoreRefused: it is refused.
        """
        try:
            while self._messages:
                raw, exchange, key = self._messages[-1]
                priority = channel._get_message_priority(raw, reverse=False)
                with channel.conn_or_acquire() as client:
                    for queue in channel._lookup(exchange, key):
                        client.rpush(channel._q_for_pri(queue, priority), dump(raw))
                self._messages.pop()
            for tag in list(self._to_restore):
                channel.qos.restore_now(tag)
                self._to_restore.pop(tag)
            for tag in list(self._to_acknowledge):
                channel.qos.acknowledge_now(tag)
                self._to_acknowledge.pop(tag)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            raise refusal from error


class CarefulQoS:
    """Goes in front of the bookkeeping of kombu's Redis transport; nothing that the server refuses gets lost."""

    debts: Debts
    _real: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as unacknowledged; keep it where that fails."""
        try:
            self._real.append(self, message, delivery_tag)
        except Exception:
            self.debts.keep(message)
            raise

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge, now or later."""
        try:
            self._real.ack(self, delivery_tag)
        except Exception as error:
            if refusal_of(error) is None:
                raise
            self.debts.acknowledge_later(delivery_tag)
            self._quick_ack(delivery_tag)  # type: ignore[attr-defined]

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, now or later."""
        try:
            self._real.restore_by_tag(self, tag, client, leftmost)
        except Exception as error:
            if refusal_of(error) is None:
                raise
            self.debts.restore_later(tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Look for overdue messages; while the server refuses that, the next look finds them."""
        try:
            self._real.restore_visible(self, *args, **kwargs)
        except Exception as error:
            if refusal_of(error) is None:
                raise
            log.debug("Overdue messages are looked for later: %s", error)

    def restore_now(self, tag: str) -> None:
        """Put a message back or raise."""
        self._real.restore_by_tag(self, tag)

    def acknowledge_now(self, tag: str) -> None:
        """Take a message off the unacknowledged ones or raise."""
        self._real._remove_from_indices(self, tag).execute()


def keep_what_is_refused(transport: Any, debts: Debts) -> None:
    """Make the channels of a connection careful, those that there are and those to come; only kombu's over Redis.

    RabbitMQ keeps the books on unacknowledged messages itself: nothing is changed there.
    """
    channels: list[Any] | None = getattr(transport, "channels", None)
    if channels is None:
        return
    create: Callable[..., Any] = transport.create_channel

    def create_careful(*args: Any, **kwargs: Any) -> Any:
        channel = create(*args, **kwargs)
        _make_careful(channel, debts)
        return channel

    transport.create_channel = create_careful
    for channel in list(channels):
        _make_careful(channel, debts)


def is_careful(channel: Any) -> bool:
    """Return whether a channel keeps what is refused."""
    return issubclass(getattr(channel, "QoS", object), CarefulQoS)


def _make_careful(channel: Any, debts: Debts) -> None:
    real = getattr(channel, "QoS", None)
    if real is None or is_careful(channel) or not hasattr(real, "restore_by_tag"):
        return
    channel.QoS = type("CarefulQoS", (CarefulQoS, real), {"debts": debts, "_real": real})
    if hasattr(channel, "maybe_refresh_binding_expiry"):
        # kombu would log a traceback each second; what it keeps alive is remote control's own queue.
        channel.maybe_refresh_binding_expiry = partial(_unless_refused, channel.maybe_refresh_binding_expiry)


def _unless_refused(ask: Callable[[], object]) -> None:
    try:
        ask()
    except Exception as error:
        if refusal_of(error) is None:
            raise


def take_a_write(channel: Any) -> None:
    """Have the broker write and take back a small thing: one that answers may still refuse writes.

    The key is the one that kombu holds while it looks for overdue messages, so no further permission is asked for.
    """
    with channel.conn_or_acquire() as client:
        client.set(channel.unacked_mutex_key, "", nx=True, px=1)


class Refusals:
    """How a worker waits while its broker refuses: longer and longer, and one line in the log for each refusal."""

    def __init__(self) -> None:
        self._complaints = Complaints()
        self._failures = 0
        self._met_at = float("-inf")

    @property
    def is_on(self) -> bool:
        """The broker refuses, as far as is known."""
        return self._failures > 0

    def note(self, refusal: StoreRefused) -> float:
        """Return how long to wait before the broker is asked again, in seconds."""
        now = time.monotonic()
        if now - self._met_at > _FORGOTTEN_AFTER_SECONDS:
            self._failures = 0
        self._complaints.report(
            "broker",
            "The broker does not serve this worker, which waits: %s",
            refusal,
            cause=str(refusal),
            level=logging.ERROR,
        )
        self._met_at = now
        self._failures += 1
        return _BACKOFF.seconds(self._failures)

    def is_over(self) -> None:
        """Note that the broker takes writes and hands out messages."""
        self._complaints.settle("broker", "The broker serves this worker again", level=logging.WARNING)
        self._failures = 0
