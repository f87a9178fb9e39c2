"""What a parse may have left in its process that a fork does not carry over, or that the ordinary way has otherwise."""

from __future__ import annotations

import atexit
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog


@dataclass(frozen=True)
class Surroundings:
    """The state of this process at one moment. Linux."""

    descriptors: frozenset[str]
    shared_memory: frozenset[str]
    signals: tuple[object, ...]
    timers: tuple[float, ...]
    written: tuple[int, ...]
    randomness: object
    secrets: int
    logs: dict[str, object]
    options: dict[str, str]
    at_exit: int

    @classmethod
    def look(cls, outputs: Sequence[int]) -> Surroundings:
        """Return the state now.

        :param outputs: descriptors of files that hold what was printed and logged.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        return cls(
            descriptors=frozenset(_descriptors()),
            shared_memory=frozenset(_shared_memory()),
            signals=tuple(signal.getsignal(number) for number in _SIGNALS),
            timers=tuple(signal.getitimer(which)[0] for which in _TIMERS),
            written=tuple(os.fstat(output).st_size for output in outputs),
            randomness=random.getstate(),
            secrets=_count_secrets(),
            logs=_log_settings(),
            options={name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")},
            at_exit=atexit._ncallbacks(),
        )

    def find_difference(self, after: Surroundings, *, at_exit: int) -> str:
        """Return why what a parse left behind is not to be shared, "" if it may be.

        :param at_exit: how many functions are known to have been registered for the end of the process.
        """
        if after.written != self.written:
            return "it prints or logs"
        if after.descriptors != self.descriptors:
            return "it keeps a file open"
        if after.shared_memory - self.shared_memory:
            return "it shares memory with other processes"
        if after.signals != self.signals or after.timers != self.timers:
            return "it handles signals"
        if after.randomness != self.randomness:
            return "it uses random numbers"
        if after.secrets != self.secrets:
            return "it hides a secret in logs"
        if {**after.logs, **self.logs} != after.logs:
            return "it sets up logging"
        if after.options != self.options:
            return "it sets options of Airflow"
        if after.at_exit - self.at_exit != at_exit:
            return "it registers what is to be done at the end of its process"
        return ""


# The importer itself sets a handler for SIGSEGV and one for its time limit.
_SIGNALS = sorted(set(signal.Signals) - {signal.SIGSEGV, signal.SIGALRM})
_JEMALLOC_THREAD = "jemalloc_bg_thd"
_THREAD_SECONDS = 2.0
"""How long a thread may take that only prepares a forked process (OpenTelemetry looks at it in one), or that ends."""
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def count_threads() -> int:
    """Return how many threads this process has that a fork would miss, those of libraries included.

    jemalloc, which pyarrow brings, and pandas with it, returns unused memory in a thread. It is prepared for forks: a
    process that is forked does without that thread.
    """
    return sum(_name_of_thread(thread) != _JEMALLOC_THREAD for thread in os.listdir("/proc/self/task"))


def _name_of_thread(thread: str) -> str:
    try:
        return Path(f"/proc/self/task/{thread}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:
        return ""


def has_children() -> bool:
    """Return whether this process has child processes."""
    return any(file.read_text(encoding="ascii").split() for file in Path("/proc/self/task").glob("*/children"))


def forks_have_threads() -> bool:
    """Fork once; return whether the forked process has threads that libraries start in each, and that stay."""
    pid = os.fork()
    if pid == 0:
        _wait_for_threads()
        os._exit(count_threads() > 1)
    return os.waitpid(pid, 0)[1] != 0


def has_threads() -> bool:
    """Return whether this process has threads that a fork would miss, and that do not end before it.

    Libraries such as OpenBLAS end their idle threads before a fork, and start them at need: one is made for nothing.
    The system may list a thread for a moment after it was joined, so what Python does not count is waited for.
    """
    if count_threads() == 1:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if threading.active_count() == 1:
        _wait_for_threads()
    return count_threads() > 1


def _wait_for_threads() -> None:
    until = time.monotonic() + _THREAD_SECONDS
    while count_threads() > 1 and time.monotonic() < until:
        time.sleep(0.01)


def _descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue  # that of the listing itself
    return found


def _shared_memory() -> list[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split()[0] for line in lines if line.split()[1] == "rw-s"]


def _log_settings() -> dict[str, object]:
    """Return what Airflow sets up when a task's process begins, and a Dag file may change after that."""
    loggers = (found for found in logging.root.manager.loggerDict.values() if isinstance(found, logging.Logger))
    return {
        **{logger.name: _settings_of(logger) for logger in (logging.root, *loggers)},
        "structlog": {name: id(value) for name, value in structlog.get_config().items()},
        "bound": structlog.contextvars.get_contextvars(),
        "excepthook": sys.excepthook,
    }


def _settings_of(logger: logging.Logger) -> tuple[object, ...]:
    handlers = [handler for handler in logger.handlers if not isinstance(handler, logging.NullHandler)]
    kept = [(id(handler), handler.level, *map(id, handler.filters)) for handler in handlers]
    return logger.level, logger.propagate, logger.disabled, *map(id, logger.filters), *kept


def _count_secrets() -> int:
    from airflow.sdk._shared.secrets_masker import _secrets_masker

    return len(_secrets_masker().patterns)
