"""The agent as a supervised child process of the scheduler."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time

from hybrid_executor.backoff import Backoff

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first_seconds=1, most_seconds=60)
_STABLE_SECONDS = 60.0
_STOP_SECONDS = 15.0


class AgentChild:
    """Starts ``python -m hybrid_executor.agent``, starts it again when it dies, and stops it. Only :meth:`stop` blocks.

    The child ends by itself when its parent has ended, for whatever reason.
    """

    def __init__(self, name: str, *, shape: str, team: str = "") -> None:
        self._name = name
        self._shape = shape
        self._team = team
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._start_after = 0.0

    def supervise(self) -> None:
        """Start the agent if it does not run and the pause after its last end is over."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if now - self._started_at >= _STABLE_SECONDS:
                self._failures = 0
            self._failures += 1
            seconds = _BACKOFF.seconds(self._failures)
            self._start_after = now + seconds
            log.error("The agent ended with exit code %s; starting it again in %.0f s", code, seconds)
        if now >= self._start_after:
            self._start(now)

    def _start(self, now: float) -> None:
        command = [
            sys.executable,
            "-m",
            "hybrid_executor.agent",
            "--name",
            self._name,
            "--parent-pid",
            str(os.getpid()),
            "--shape",
            self._shape,
            "--team",
            self._team,
        ]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError:
            log.exception("The agent could not be started; trying again in %.0f s", _BACKOFF.most_seconds)
            self._start_after = now + _BACKOFF.most_seconds
            return
        self._started_at = now
        log.info("Started the agent %s with pid %s", self._name, self._process.pid)

    @property
    def pid(self) -> int | None:
        """Process id of the running agent."""
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """Ask the agent to end and wait for it; kill it where it does not end in time."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("The agent did not end within %.0f s and is killed", _STOP_SECONDS)
            process.kill()
            process.wait()
