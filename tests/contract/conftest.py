"""The store on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest

from hybrid_executor.store import RedisSettings, Store, open_store


@pytest.fixture(params=["fakeredis", "server"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "fakeredis":
        yield Store(fakeredis.FakeRedis(decode_responses=True), instance="test")
        return
    opened = open_store(RedisSettings(url=request.getfixturevalue("redis_url")), instance="test")
    yield opened
    opened.close()
