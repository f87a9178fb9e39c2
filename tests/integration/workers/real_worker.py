"""``airflow hybrid worker`` as a user starts it: the real command, configured by environment variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.processes import QUIET
from tests.waiting import PATIENCE_SECONDS

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
SECRET = "only-for-tests-only-for-tests-only-for-tests-only-for-tests-1234"


@dataclass(frozen=True)
class Home:
    """An Airflow home whose workers use one Redis."""

    path: Path
    environment: Mapping[str, str]

    def worker(self, *flags: str, **options: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; with ``-D`` that is when the worker has gone into the background.

        :param options: further configuration, as ``section__option``.
        """
        variables = {f"AIRFLOW__{name.upper()}": text for name, text in options.items()}
        return subprocess.run(
            [AIRFLOW, "hybrid", "worker", *flags],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


def make_home(path: Path, redis_url: str, *, log_port: int) -> Home:
    """Return a home in which Airflow has nothing but its default configuration."""
    path.mkdir(exist_ok=True)
    (path / "airflow.cfg").touch()
    inherited = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return Home(
        path,
        {
            **inherited,
            **QUIET,
            "AIRFLOW_HOME": str(path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CELERY__BROKER_URL": redis_url,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__API__SECRET_KEY": SECRET,
            "AUTOSCALE_KEEPALIVE": "1",
        },
    )


class Daemon:
    """A worker in the background and all its processes."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self._session = os.getsid(pid)

    def processes(self) -> list[str]:
        """Return the command lines of all that still runs of it."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self._session and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def kill(self) -> None:
        """End what is left, at once."""
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self._session:
                    os.kill(process.pid, signal.SIGKILL)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
