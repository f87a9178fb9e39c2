"""How a worker ends: when its work is done, at the deadline, or at the second signal.

What must end early is reported with that reason first, which is recorded while Redis answers. Then its task gets the
chance to clean up (SIGTERM to the process that Airflow's supervisor runs it in), after that the task process is
killed, and at last Celery is told to leave cold.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_workers.parsed import lent
from hybrid_workers.processes import find_tree, kill_trees
from hybrid_workers.reports import Reports

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
# How long what is to end waits for its reason to be recorded: its own end would hide the reason if it came first.
RECORD_SECONDS = 2.0


class Stage(IntEnum):
    """How far it is; only ever rises."""

    STAYING = 0
    FINISHING = 1
    HURRIED = 2
    REPORTED = 3
    TERMINATED = 4
    KILLED = 5
    COLD = 6


class Departure:
    """The leave of one worker with processes for its tasks.

    :param timeout_seconds: how long what runs may go on; 0 for as long as it needs.
    :param active: returns Celery's requests that a task process has.
    """

    def __init__(self, *, timeout_seconds: float, reports: Reports, active: Callable[[], list[Any]]) -> None:
        self._timeout_seconds = timeout_seconds
        self._reports = reports
        self._active = active
        self._stage = Stage.STAYING
        self._since = 0.0
        self._reason = ""
        self._grace_seconds = 0.0

    def told(self, now: float) -> None:
        """Note a signal to stop; the second one ends what runs."""
        if self._stage is Stage.STAYING:
            self._enter(Stage.FINISHING, now)
        elif self._stage is Stage.FINISHING:
            self._reason = "The worker was told a second time to stop while it ran"
            self._enter(Stage.HURRIED, now)

    def advance(self, now: float) -> None:
        """Do what is due; call often, from one thread, and deliver the reports between two calls."""
        waited = now - self._since
        if self._stage is Stage.FINISHING and self._timeout_seconds and waited >= self._timeout_seconds:
            allowed = f"worker_shutdown_timeout ({self._timeout_seconds:g} s)"
            self._reason = f"The worker was stopped and it did not end within {allowed}"
            self._enter(Stage.HURRIED, now)
        if self._stage is Stage.HURRIED:
            self._report()
            self._enter(Stage.REPORTED, now)
            waited = 0.0
        if self._stage is Stage.REPORTED and (not len(self._reports) or waited >= RECORD_SECONDS):
            workloads = list(_workloads_of(self._processes()))
            _send(signal.SIGTERM, workloads)
            self._grace_seconds = GRACE_SECONDS if workloads else 0.0
            self._enter(Stage.TERMINATED, now)
        elif self._stage is Stage.TERMINATED and waited >= self._grace_seconds:
            kill_trees(process for pid in self._processes() for process in find_tree(pid))
            self._enter(Stage.KILLED, now)
        elif self._stage is Stage.KILLED and waited >= GRACE_SECONDS:
            _send(signal.SIGQUIT, [os.getpid()])
            self._enter(Stage.COLD, now)

    def _enter(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self._since = now

    def _report(self) -> None:
        active = self._active()
        log.warning("Ending %d attempts: %s", len(active), self._reason)
        for request in active:
            self._reports.stopped(AttemptId(request.id), process=request.worker_pid, reason=self._reason)

    def _processes(self) -> list[int]:
        """Return the task processes that are at work; threads of this process are none."""
        pids = {request.worker_pid for request in self._active()}
        return sorted(pid for pid in pids if pid and pid != os.getpid())


def _workloads_of(processes: Iterable[int]) -> Iterable[int]:
    """Return the children of task processes: what Airflow's supervisors run. Linux; elsewhere none are found."""
    for pid in processes:
        yield from lent.tasks_of(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                yield from (int(child) for child in children.read_text(encoding="ascii").split())
            except OSError:
                continue


def _send(number: signal.Signals, processes: Iterable[int]) -> None:
    for pid in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
