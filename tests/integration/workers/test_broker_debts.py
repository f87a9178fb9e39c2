"""What kombu's Redis transport is refused, kept and brought later: over a real connection to a server that refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from hybrid_executor.errors import StoreRefused
from hybrid_workers.debts import Debts, keep_what_is_refused
from tests.integration.redis_installed import Server
from tests.redis_situations import full, read_only

BODY = {"body": "x", "headers": {}, "properties": {"delivery_tag": "a tag", "delivery_info": {}}}


@pytest.fixture
def debts() -> Debts:
    return Debts()


@pytest.fixture
def channel(server: Server, debts: Debts) -> Iterator[Any]:
    server.client.flushall()
    with Connection(f"redis://127.0.0.1:{server.port}/0") as connection:
        keep_what_is_refused(connection.transport, debts)
        opened = connection.channel()
        opened.queue_declare("queue")
        yield opened


def deliver(channel: Any) -> Any:
    """Have a message taken off its queue, as a worker does."""
    delivered: list[Any] = []
    channel.basic_consume("queue", False, delivered.append, "consumer")
    channel.connection._callbacks["queue"](channel._get("queue"))
    return delivered[0]


def test_a_message_that_cannot_be_noted_goes_back_as_the_next_one(server: Server, channel: Any, debts: Debts) -> None:
    for body in ("first", "second"):
        channel.basic_publish({**channel.prepare_message(body), "body": body}, "", "queue")
    with full(server):
        with pytest.raises(Exception, match="maxmemory"):
            deliver(channel)
        assert (server.client.llen("queue"), len(debts)) == (1, 1)
        with pytest.raises(StoreRefused, match="maxmemory reached"):
            debts.settle(channel)
        assert len(debts) == 1
    debts.settle(channel)
    assert (server.client.llen("queue"), len(debts)) == (2, 0)
    assert deliver(channel).body == b"first"


@pytest.mark.parametrize("verb", ["ack", "requeue"])
def test_what_cannot_be_acknowledged_or_put_back_is_so_later(
    server: Server, channel: Any, debts: Debts, verb: str
) -> None:
    channel.basic_publish(channel.prepare_message("x"), "", "queue")
    message = deliver(channel)
    with read_only(server):
        message.ack() if verb == "ack" else message.requeue()
        assert len(debts) == 1
        with pytest.raises(StoreRefused, match="read-only replica"):
            debts.settle(channel)
    debts.settle(channel)
    assert len(debts) == 0
    assert server.client.hlen("unacked") == 0
    assert server.client.llen("queue") == (verb == "requeue")


def test_the_channels_of_another_transport_are_left_as_they_are(debts: Debts) -> None:
    transport = Connection("amqp://127.0.0.1:1//").transport
    create = transport.create_channel
    keep_what_is_refused(transport, debts)
    assert transport.create_channel == create
