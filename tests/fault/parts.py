"""One process of a deployment, which can be killed, paused, and started again under its name."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.leaks import shared
from tests.waiting import PATIENCE_SECONDS

_PR_SET_PDEATHSIG = 1


class Part:
    """A command with all processes that it starts.

    :ivar wanted: it is meant to run. One that is wanted and does not run has died by itself.
    :ivar command: what is started next time.
    :ivar started_at: when it was started last, by the machine's clock.
    :ivar pauses: how long it was paused each time, in seconds.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.wanted = False
        self.started_at = 0.0
        self.pauses: list[float] = []
        self._paused_at = 0.0
        self.environment = dict(environment)
        self.command = list(command)
        self._log = logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of its first process."""
        assert self._process is not None, f"{self.name} has not been started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """It has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has printed, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start it; it ends with the process of the test."""
        assert not self.is_running, f"{self.name} runs already"
        self.wanted, self.started_at = True, time.time()
        with self._log.open("ab") as output, shared():
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def kill(self, *, whole_group: bool = True) -> None:
        """End it at once (``kill -9``).

        :param whole_group: with all processes that it has started, as where its host is gone.
        """
        self.wanted = False
        if not self.is_running:
            return
        with suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(PATIENCE_SECONDS)

    def stop(self, seconds: float = 60.0) -> int:
        """End it in good order; return its exit code. Its rest is killed."""
        self.wanted = False
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)

    def restart(self) -> None:
        """Kill it if it runs, and start it."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it where it is, with all that it has started, until :meth:`resume`."""
        os.killpg(self.pid, signal.SIGSTOP)
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Let it go on."""
        if self._paused_at:
            self.pauses.append(time.monotonic() - self._paused_at)
            self._paused_at = 0.0
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
