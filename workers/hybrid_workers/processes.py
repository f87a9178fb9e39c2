"""Processes that a run has started, and how they are ended: all of them, before the end of the run is reported.

Airflow's supervisor forks the task's process, and operators start further ones, some of them in sessions of their own.
So they are found by who started whom and not by their group. Linux finds all of them; elsewhere one may be missed that
a process starts while it is being ended.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil  # type: ignore[import-untyped]

from hybrid_workers.parsed import lent

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
_KILL_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36


class RunProcesses:
    """What one run starts, seen from the task process that it runs in. Make it before the run."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._older = set(_children_of(self._own))

    def end(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """End what the run has left behind, and wait for it: SIGTERM, so that a task can clean up, then SIGKILL."""
        started = self._started()
        if not started:
            return
        log.warning("Ending %d processes that the workload has left behind", len(started))
        with _orphans_come_here():
            try:
                _signal(signal.SIGTERM, started)
                _wait_until(lambda: all(_is_gone(process, reap=True) for process in started), grace_seconds)
            finally:
                family = _freeze(self._started)
                _signal(signal.SIGKILL, family)
                if not _wait_until(lambda: all(_is_gone(process, reap=True) for process in family), _KILL_SECONDS):
                    log.error("Some processes of the workload could not be killed")

    def _started(self) -> list[psutil.Process]:
        forked = [child for child in _children_of(self._own) if child not in self._older]
        return [process for process in (*forked, *_lent_to(self._own.pid)) if not is_zombie(process)]


def find_tree(pid: int | None) -> list[psutil.Process]:
    """Return a process, all that descend from it, and the task that a parsed parent runs for it."""
    try:
        root = psutil.Process(pid or -1)
        return [root, *root.children(recursive=True), *(p for task in _lent_to(root.pid) for p in find_tree(task.pid))]
    except (psutil.NoSuchProcess, ValueError):
        return []


def kill_trees(roots: Iterable[psutil.Process]) -> None:
    """Kill processes and all that descend from them, and wait until they are gone; reaping is left to their parents.

    Parents go last: should this process be killed meanwhile, whoever follows it finds the rest of the tree below them.
    """
    wanted = list(roots)
    family = _freeze(lambda: wanted)
    _signal(signal.SIGKILL, reversed(family))
    if not _wait_until(lambda: all(_is_gone(process) for process in family), _KILL_SECONDS):
        log.error("Some processes could not be killed: %s", [p.pid for p in family if not _is_gone(p)])


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the child processes of a process; each run asks, and psutil would look at all processes there are."""
    if not os.path.exists(f"/proc/{process.pid}/task/{process.pid}/children"):
        return list(process.children())
    return _found(lent.children_of(process.pid))


def _lent_to(slot: int) -> list[psutil.Process]:
    return _found(lent.tasks_of(slot))


def _found(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _freeze(roots: Callable[[], Iterable[psutil.Process]]) -> list[psutil.Process]:
    """Stop processes and all that descend from them; what is stopped starts no other while the rest is looked for."""
    family: dict[psutil.Process, None] = {}
    while new := [process for root in roots() for process in find_tree(root.pid) if process not in family]:
        family.update(dict.fromkeys(new))
        _signal(signal.SIGSTOP, new)
    return list(family)


def _signal(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def _wait_until(happens: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _is_gone(process: psutil.Process, *, reap: bool = False) -> bool:
    if reap:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return not process.is_running() or is_zombie(process)


def is_zombie(process: psutil.Process) -> bool:
    """Return whether it has ended and is only not reaped yet, or is gone."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextmanager
def _orphans_come_here() -> Iterator[None]:
    """Let this process become the parent of what its descendants leave behind when they end, for a while."""
    if not sys.platform.startswith("linux"):
        yield
        return
    adopt_orphans(True)
    try:
        yield
    finally:
        adopt_orphans(False)


def adopt_orphans(wanted: bool) -> None:
    """Let this process become the parent of what its descendants leave behind when they end, or not. Linux."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
