"""The process of a component with its output. A guard ends all its child processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_LINES = 40
_READ_SECONDS = 2.0

Listener = Callable[[str], None]


class GuardedProcess:
    """A command that ends when :meth:`stop` is called or when this process dies.

    :param grace_seconds: time between SIGTERM and SIGKILL.
    :param on_line: called for each line of output, without its line break, on a separate thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        grace_seconds: float,
        on_line: Listener,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # In a separate session, since Ctrl-C must reach only us; we stop the components in order.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(grace_seconds), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """The command's exit code; ``None`` while one of its processes runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Process id of the guard."""
        return self._process.pid

    @property
    def last_lines(self) -> list[str]:
        """The end of its output."""
        return list(self._tail)

    def stop(self) -> None:
        """Send SIGTERM; returns at once. May be repeated."""
        self._tell(b"s")

    def kill(self) -> None:
        """Send SIGKILL; returns at once."""
        self._tell(b"k")

    def wait(self, *, timeout_seconds: float) -> bool:
        """Return whether all its processes have ended within the time."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(_READ_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return True

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self._tail.append(line)
            self._on_line(line)

    def _tell(self, wish: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(wish)
            self._process.stdin.flush()
