"""The process of an agent: its name, its log, its threads, and its end by a signal or with its parent."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from hybrid_executor.backoff import RESTART

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_HEALTHY_SECONDS = 60.0


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
        log.debug("The kernel does not signal the parent's end; the agent checks its parent's id instead")


def has_lost_parent(parent_pid: int) -> bool:
    """Return whether the parent has ended: then another process is the parent."""
    return os.getppid() != parent_pid


def start_supervised(name: str, target: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Run ``target`` in a thread until ``stop``; when it raises or returns before, run it again after a pause."""
    thread = threading.Thread(target=_supervise, args=(name, target, stop), name=name, daemon=True)
    thread.start()
    return thread


def _supervise(name: str, target: Callable[[], None], stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            target()
        except Exception:
            log.exception("%s died and is started again", name)
        if time.monotonic() - began > _HEALTHY_SECONDS:
            failures = 0
        failures += 1
        stop.wait(RESTART.seconds(failures, jitter=random.random()))
