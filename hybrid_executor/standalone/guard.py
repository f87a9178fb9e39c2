"""Runs one command, and ends it with all its child processes when the starter stops or dies.

A separate program: ``python -I -S guard.py GRACE_SECONDS COMMAND...``. One of them runs for each component, so it
imports only the standard library. The starter holds the other end of its standard input:

* the byte ``s``, or end of file (the starter died in any way): the command gets SIGTERM, after GRACE_SECONDS SIGKILL;
* the byte ``k``: SIGKILL at once.

When the command has ended, its remaining child processes are ended too. On Linux this includes orphans, which become
children of the guard; on other systems only the process group. Exit code: the command's, or 128+n for signal n.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LEFTOVER_GRACE_SECONDS = 1.0
_IS_LINUX = sys.platform.startswith("linux")


def main(arguments: Sequence[str]) -> int:
    """Run the command to its end; see the module's docstring."""
    grace_seconds, command = float(arguments[0]), list(arguments[1:])
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(waker)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = _spawn(command)
    status = _watch(child, woken=woken, grace_seconds=grace_seconds)
    _end_leftovers(child)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _spawn(command: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _watch(child: int, *, woken: int, grace_seconds: float) -> int:
    """Return the wait status of ``child`` after it has ended, by itself or on request."""
    inputs = [0, woken]
    deadline: float | None = None
    while True:
        wait = None if deadline in (None, float("inf")) else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(inputs, [], [], wait)
        wishes = os.read(0, 64) if 0 in readable else b""
        if 0 in readable and not wishes:
            inputs.remove(0)
            wishes = b"s"
        signals = os.read(woken, 64) if woken in readable else b""
        if b"k" in wishes or (deadline is not None and time.monotonic() >= deadline):
            _send(child, signal.SIGKILL)
            deadline = float("inf")
        elif deadline is None and (wishes or any(number in signals for number in _STOP_SIGNALS)):
            _send(child, signal.SIGTERM)
            deadline = time.monotonic() + grace_seconds
        for pid, status in _reap():
            if pid == child:
                return status


def _reap() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status


def _end_leftovers(child: int) -> None:
    """End the remaining processes of the command: SIGTERM first, then SIGKILL, until there are none."""
    deadline = time.monotonic() + _LEFTOVER_GRACE_SECONDS
    number = signal.SIGTERM
    with contextlib.suppress(OSError):
        os.killpg(child, number)
    asked: set[int] = set()
    while leftovers := _descendants(os.getpid()):
        if number is signal.SIGTERM and time.monotonic() >= deadline:
            number, asked = signal.SIGKILL, set()
        for pid in leftovers - asked:
            _send(pid, number)
        asked |= leftovers
        time.sleep(0.02)
        list(_reap())
    if not _IS_LINUX:
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)


def _descendants(root: int) -> set[int]:
    """Return all processes below ``root`` that are not zombies; none without /proc."""
    children: dict[int, list[int]] = {}
    zombies = set()
    for name in os.listdir("/proc") if _IS_LINUX else ():
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append(int(name))
            if state == "Z":
                zombies.add(int(name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found - zombies


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if _IS_LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
