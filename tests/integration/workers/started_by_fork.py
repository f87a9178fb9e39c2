"""Programs that start by a fork of a process that has imported what they need: in a tenth of the CPU time.

A worker spends three seconds of CPU on imports, and the tests start dozens of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.leaks import shared

_IMPORTED_BEFORE = ["tests.integration.workers.imported_before"]


class ForkedProgram:
    """``python -m module`` in a session of its own, with the methods of :class:`subprocess.Popen` that tests use.

    :param output: what it prints is added to this file.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], output: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED_BEFORE)
        self._process = context.Process(target=_run, args=(module, list(arguments), dict(environment), str(output)))
        with shared():  # the server that forks is shared, and goes with this process
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code, negative for a signal.

        :raises subprocess.TimeoutExpired: it runs still.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(module: str, arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Become that program: what is set up before a program starts is set up here."""
    import runpy

    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
