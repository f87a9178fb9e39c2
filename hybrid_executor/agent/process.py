"""The process around an agent: its end by signal or with its parent, its log lines, its name."""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from types import FrameType

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


def default_name() -> str:
    """Return a name that no other agent has: host, process and a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def log_to_stderr(level: int = logging.INFO) -> None:
    """Write this process's log as plain lines: time, level, message."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def stop_on_signals(stop: threading.Event) -> None:
    """Set ``stop`` at SIGTERM and SIGINT."""

    def handle(number: int, _: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends (Linux only; :func:`has_lost_parent` works everywhere)."""
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        log.debug("The kernel does not signal the parent's end; it is looked for instead")


def has_lost_parent(parent_pid: int) -> bool:
    """Return whether the parent has ended: then another process has taken its place."""
    return os.getppid() != parent_pid
