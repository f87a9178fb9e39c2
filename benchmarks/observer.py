"""What can be seen of a worker from outside: when task processes exit, when a slot is free, how much CPU it uses."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
from celery import Celery  # type: ignore[import-untyped]

_LOOK_SECONDS = 0.02


def cpu_seconds(guard_pid: int) -> float:
    """Return the CPU time of a process and of all processes that it has started, also of those that have ended."""
    guard = psutil.Process(guard_pid)
    total = 0.0
    for process in (guard, *guard.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


class ExitTimes:
    """Notes when each process below a worker has exited, to some hundred microseconds.

    Those of tasks are among them: children of their supervisors, or of a process that has parsed their Dag file.

    :ivar by_pid: Unix times.
    """

    def __init__(self, worker_guard_pid: int) -> None:
        self.by_pid: dict[int, float] = {}
        self._guard = worker_guard_pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ExitTimes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        watched: set[int] = set()
        with selectors.DefaultSelector() as selector:
            while not self._stop.is_set():
                for pid in _below(self._guard):
                    if pid not in watched:
                        watched.add(pid)
                        try:
                            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                        except ProcessLookupError:
                            continue
                for key, _ in selector.select(_LOOK_SECONDS):
                    self.by_pid[key.data] = time.time()
                    selector.unregister(key.fd)
                    os.close(key.fd)
                self._stop.wait(_LOOK_SECONDS / 10)


class FreeTimes:
    """Notes when the worker's main process has a slot free again, from Celery's own events.

    :ivar by_message: Unix times.
    :ivar taken: when the slot began with the message.
    """

    def __init__(self, broker_url: str) -> None:
        self.by_message: dict[str, float] = {}
        self.taken: dict[str, float] = {}
        self._app = Celery(broker=broker_url)
        self._receiver: Any = None
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def __enter__(self) -> FreeTimes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join()

    def _receive(self) -> None:
        with self._app.connection() as connection:
            handlers = {"task-started": self._begin, "task-succeeded": self._note, "task-failed": self._note}
            self._receiver = self._app.events.Receiver(connection, handlers=handlers)
            self._receiver.capture(limit=None, timeout=None, wakeup=False)

    def _begin(self, event: dict[str, Any]) -> None:
        self.taken[event["uuid"]] = event["timestamp"]

    def _note(self, event: dict[str, Any]) -> None:
        self.by_message[event["uuid"]] = event["timestamp"]


def _below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
