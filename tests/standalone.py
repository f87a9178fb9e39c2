"""``airflow hybrid standalone`` as a program of its own, and all processes that belong to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hybrid_executor.standalone.environment import clean_environment
from hybrid_executor.standalone.ports import choose_port
from tests.processes import QUIET
from tests.waiting import PATIENCE_SECONDS, wait_until

_GRACE_SECONDS = 60.0


class Standalone:
    """One that has just been started; its Airflow is below ``home``.

    :param options: more variables of its environment.
    """

    def __init__(self, home: Path, *words: str, options: Mapping[str, str] | None = None) -> None:
        self.home, self.port = home, choose_port()
        self._log = home / "log"
        self._environment = {
            **clean_environment(os.environ),
            **QUIET,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **(options or {}),
        }
        command = [sys.executable, "-m", "airflow", "hybrid", "standalone", "--port", str(self.port), *words]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    def wait_until_ready(self) -> None:
        """Wait until it says that Airflow is ready."""
        wait_until(lambda: "Airflow is ready" in self.said, what=lambda: f"Airflow is ready: {self.said[-2000:]}")

    def ask(self, *words: str) -> str:
        """Run ``airflow hybrid`` as in another terminal, where nothing but the home is known."""
        command = [sys.executable, "-m", "airflow", "hybrid", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        """End every process that belongs to it, in good order if that is possible."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE_SECONDS)
        for pid in processes_of(self.home):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)


def processes_of(home: Path) -> list[int]:
    """Return every process that belongs to the Airflow below ``home``, whoever its parent is now. Linux."""
    mark = f"AIRFLOW_HOME={home}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
