"""Sending to a broker that is not the store's Redis: in order, within the deadline, and never an exception."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
import redis

from hybrid_executor.config import DictConfig
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.events import SCHEMA, AttemptId, OwnerId
from hybrid_executor.pools.celery_sender import BrokerSender
from hybrid_executor.pools.work import Work


def make_sender(url: str, *, timeout: str = "1.0") -> BrokerSender:
    conf = DictConfig({"celery": {"broker_url": url, "operation_timeout": timeout}})
    return BrokerSender(read_celery_settings(conf), instance="airflow")


def works(count: int) -> list[Work]:
    return [
        Work(
            attempt=AttemptId(f"attempt-{index}"),
            owner=OwnerId("1"),
            kind="task",
            workload_id=f"{index}",
            queue="other-queue",
            payload='{"token": "secret"}',
        )
        for index in range(count)
    ]


@pytest.fixture
def deaf_url() -> Iterator[str]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_batch_arrives_in_order_as_messages_of_ours(redis_url: str) -> None:
    sender = make_sender(redis_url)
    assert sender.send(works(50)) == []
    sender.close()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        texts = client.lrange("other-queue", 0, -1)
    messages = [json.loads(text) for text in reversed(texts)]
    assert [message["headers"]["id"] for message in messages] == [work.attempt for work in works(50)]
    headers = messages[0]["headers"]
    assert headers["hybrid"] == {"owner": "1", "instance": "airflow", "pool": "celery", "schema": SCHEMA} | {
        "generation": 1
    }
    assert (headers["task"], "secret" in json.dumps(headers)) == ("execute_workload", False)


def test_with_the_broker_away_everything_is_told_as_unsent_at_once() -> None:
    sender = make_sender("redis://127.0.0.1:1/0")
    begun = time.monotonic()
    assert sender.send(works(3)) == works(3)
    assert time.monotonic() - begun < 20
    sender.close()


def test_a_broker_that_does_not_answer_costs_little_more_than_the_deadline(deaf_url: str) -> None:
    sender = make_sender(deaf_url, timeout="0.3")
    begun = time.monotonic()
    assert sender.send(works(100)) == works(100)
    assert time.monotonic() - begun < 30  # and not 100 times the deadline
    sender.close()


def test_a_broker_that_stays_away_is_asked_ever_more_seldom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = make_sender(f"redis://127.0.0.1:{server.getsockname()[1]}/0", timeout="0.2")
        assert sender.send(works(3)) == works(3)
        assert sender.send(works(3)) == works(3)
        assert count_connections(server) > 0
        for _ in range(20):
            assert sender.send(works(3)) == works(3)
        assert count_connections(server) == 0
        sender.close()


def count_connections(server: socket.socket) -> int:
    """Take the connections that wait to be accepted; return how many there were."""
    server.settimeout(0.1)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except TimeoutError:
            return count
        count += 1


def test_a_broker_that_breaks_off_gets_the_rest_when_it_is_back(redis_url: str) -> None:
    sender = make_sender(redis_url)
    assert sender.send(works(1)) == []
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.client_kill_filter(_type="normal", skipme=True)
        unsent = sender.send(works(3))
        assert sender.send(unsent) == []
        arrived = {json.loads(text)["headers"]["id"] for text in client.lrange("other-queue", 0, -1)}
    assert arrived == {work.attempt for work in works(3)}
    sender.close()
