"""The nursery: the process that forks parsed parents, knows which of them may be used, and passes requests on.

It is forked from the worker's main process before there are threads and connections, and ends with it. It parses a file
when a second task of it comes within a few minutes: a file with one task now and then would only cost more. It keeps so
many parsed files, and none longer than it may be used; a process with one ends when its tasks have ended. A file that
may not be used is tried again after a change, less and less often.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hybrid_executor.backoff import Backoff
from hybrid_workers.parsed.channel import close_all, make_pair, receive, send
from hybrid_workers.parsed.parent import IGNORED, ParsedParent, name_process
from hybrid_workers.parsed.parse import FileKey
from hybrid_workers.parsed.stamps import Stamp, find_change
from hybrid_workers.parsed.ties import end_adopted, end_trees, reap_adopted, watch_parent
from hybrid_workers.processes import adopt_orphans

PARSE_SECONDS = 120.0
"""How long a watched parse may take; Airflow's own limit ([core] dagbag_import_timeout) is 30 s by default."""
WAIT_SECONDS = 10.0
"""How long a task may wait for a parse, which takes two or three times as long as its own, as it is watched."""
_MOST_REMEMBERED = 1000
_WANTED_SECONDS = 300.0
"""Within what time of another task of its file a task is worth a parse."""
_READ_BYTES = 1 << 16
_PAUSE = Backoff(first_seconds=1, most_seconds=300)
"""How long a file is left alone that may not be used: it may change all the time, and each try costs a parse."""


@dataclass(frozen=True)
class Request:
    """What a slot asks for, with the ends of its sockets; the last one takes the answer."""

    message: Mapping[str, Any]
    descriptors: list[int]

    @property
    def key(self) -> tuple[FileKey, str]:
        """The file, and what is different in the slot's environment."""
        file = FileKey(bundle=self.message["bundle"], version=self.message["version"], path=self.message["path"])
        return file, json.dumps(self.message["environment"], sort_keys=True)

    def answer(self, reason: str, *, is_news: bool = False) -> None:
        """Send the task the ordinary way."""
        with socket.socket(fileno=os.dup(self.descriptors[-1])) as reply:
            send(reply, {"ordinary": reason, "is_news": is_news})
        close_all(self.descriptors)


@dataclass
class _Parent:
    key: tuple[FileKey, str]
    pid: int
    pidfd: int
    requests: socket.socket
    report: int
    begun: float
    said: bytes = b""
    is_ready: bool = False
    stamps: dict[str, Stamp] = field(default_factory=dict)
    waiting: list[Request] = field(default_factory=list)


@dataclass
class _Refusal:
    """A parse that may not be used.

    :ivar until: when it may be tried again (monotonic), if what it read has changed.
    :ivar stamps: what it read; ``None`` where another parse of the same may be of use.
    """

    reason: str
    until: float
    tries: int
    stamps: dict[str, Stamp] | None

    def holds(self) -> bool:
        return time.monotonic() < self.until or (self.stamps is not None and not find_change(self.stamps))


class Nursery:
    """Serves slots until the worker ends.

    :param asks: where slots' requests come from.
    :param parse_seconds: how old a parse may be.
    :param most_files: how many parsed files are kept.
    :param wait_seconds: how long a task may wait for a parse.
    """

    def __init__(self, asks: socket.socket, *, parse_seconds: float, most_files: int, wait_seconds: float) -> None:
        self._asks = asks
        self._wait_seconds = wait_seconds
        self._parse_seconds = parse_seconds
        self._most_files = most_files
        self._selector = selectors.DefaultSelector()
        self._parents: OrderedDict[tuple[FileKey, str], _Parent] = OrderedDict()
        self._all: dict[int, _Parent] = {}
        self._refusals: OrderedDict[tuple[FileKey, str], _Refusal] = OrderedDict()
        self._asked_at: OrderedDict[FileKey, float] = OrderedDict()
        self._handlers: dict[int, Any] = {}
        self._left: set[int] = set()
        self._main = -1
        self._group = 0

    def run(self, *, parent: int) -> NoReturn:
        """Serve; never returns. What the worker's main process has open is of no use here."""
        self._main = watch_parent(parent)
        self._selector.register(self._main, selectors.EVENT_READ, self._leave)
        adopt_orphans(True)
        self._group = os.getpgrp()
        os.setpgid(0, 0)  # a signal that ends all processes of the worker's group leaves this one to end the rest
        name_process("airflow hybrid worker -- nursery of parsed Dag files")
        self._handlers = {int(number): signal.signal(number, signal.SIG_IGN) for number in IGNORED}
        leave_connections(self._asks.fileno())
        self._asks.setblocking(False)
        self._selector.register(self._asks, selectors.EVENT_READ, self._asked)
        while True:
            for key, _ in self._selector.select(self._seconds_to_next_end()):
                key.data()
            for slow in self._all.values():
                self._let_go(slow)
            self._end_long_parses()
            self._retire_old()

    def _asked(self) -> None:
        try:
            message, descriptors = receive(self._asks)
        except BlockingIOError:
            return
        if message is None:
            self._leave()
        request = Request(message, descriptors)
        is_wanted = self._note_ask(request.key[0])
        refusal = self._refusals.get(request.key)
        if refusal is not None and refusal.holds():
            request.answer(refusal.reason)
            return
        parent = self._parents.get(request.key)
        if parent is not None and parent.is_ready and self._is_outdated(parent):
            self._retire(parent)
            parent = None
        if parent is None and not is_wanted:
            request.answer("it is the first task of this file for a while")
            return
        if parent is None:
            parent = self._start(request)
        self._parents.move_to_end(parent.key)
        if parent.is_ready:
            self._pass_on(parent, request)
        else:
            parent.waiting.append(request)
            self._let_go(parent)

    def _note_ask(self, key: FileKey) -> bool:
        """Note that a task of a file came; return whether another one had come shortly before."""
        now, before = time.monotonic(), self._asked_at.pop(key, -_WANTED_SECONDS)
        self._asked_at[key] = now
        if len(self._asked_at) > _MOST_REMEMBERED:
            self._asked_at.popitem(last=False)
        return now - before < _WANTED_SECONDS

    def _leave(self) -> NoReturn:
        """End what it has forked, with all that tasks have started, and itself: the worker has ended."""
        end_trees(self._all)
        os._exit(0)

    def _is_outdated(self, parent: _Parent) -> bool:
        return time.monotonic() - parent.begun >= self._parse_seconds or bool(find_change(parent.stamps))

    def _start(self, request: Request) -> _Parent:
        while len(self._parents) >= self._most_files:
            self._retire(next(iter(self._parents.values())))
        ours, theirs = make_pair()
        report, write_report = os.pipe()
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._leave_to_nursery(request, ours, report)
                ParsedParent(request.key[0], theirs, write_report, self._handlers, group=self._group).run(
                    parent=nursery,
                    environment=request.message["environment"],
                )
            finally:
                os._exit(os.EX_SOFTWARE)
        theirs.close()
        os.close(write_report)
        ours.setblocking(False)
        parent = _Parent(request.key, pid, os.pidfd_open(pid), ours, report, time.monotonic())
        self._parents[request.key] = self._all[pid] = parent
        self._selector.register(report, selectors.EVENT_READ, lambda: self._reported(parent))
        self._selector.register(parent.pidfd, selectors.EVENT_READ, lambda: self._ended(parent))
        return parent

    def _leave_to_nursery(self, request: Request, *others: socket.socket | int) -> None:
        close_all(other if isinstance(other, int) else other.detach() for other in others)
        close_all(request.descriptors)
        for parent in self._all.values():
            close_all((parent.pidfd, *([parent.report] if parent.report >= 0 else ()), parent.requests.detach()))
            for waiting in parent.waiting:
                close_all(waiting.descriptors)
        self._selector.close()
        self._asks.close()
        os.close(self._main)

    def _reported(self, parent: _Parent) -> None:
        data = os.read(parent.report, _READ_BYTES)
        parent.said += data
        if data:
            return
        self._selector.unregister(parent.report)
        os.close(parent.report)
        parent.report = -1
        if not parent.said.endswith(b"\n"):
            return  # it has died, and that is seen elsewhere
        said = json.loads(parent.said)
        parent.stamps = {path: tuple(kept) if kept else None for path, kept in said["stamps"].items()}
        if said["reason"]:
            self._refuse(parent, said["reason"], is_kept=not said["passes"])
            return
        parent.is_ready = True
        self._refusals.pop(parent.key, None)
        waiting, parent.waiting = parent.waiting, []
        for request in waiting:
            self._pass_on(parent, request)

    def _refuse(self, parent: _Parent, reason: str, *, is_kept: bool) -> None:
        before = self._refusals.pop(parent.key, None)
        tries = before.tries + 1 if before else int(is_kept)
        until = time.monotonic() + (_PAUSE.seconds(tries) if tries else 0)
        self._refusals[parent.key] = _Refusal(reason, until, tries, parent.stamps if is_kept else None)
        if len(self._refusals) > _MOST_REMEMBERED:
            self._refusals.popitem(last=False)
        waiting, parent.waiting = parent.waiting, []
        self._retire(parent)
        for number, request in enumerate(waiting):
            request.answer(reason, is_news=is_kept and number == 0)

    def _pass_on(self, parent: _Parent, request: Request) -> None:
        if send(parent.requests, {"own_group": request.message["own_group"]}, request.descriptors):
            close_all(request.descriptors)
        else:
            request.answer("its process is gone or busy")

    def _retire(self, parent: _Parent) -> None:
        """Let it end when its tasks have ended."""
        if self._parents.get(parent.key) is parent:
            del self._parents[parent.key]
        if parent.waiting:
            waiting, parent.waiting = parent.waiting, []
            for request in waiting:
                request.answer("other files are parsed at the same time")
        parent.requests.close()

    def _ended(self, parent: _Parent) -> None:
        self._selector.unregister(parent.pidfd)
        os.close(parent.pidfd)
        _, status = os.waitpid(parent.pid, 0)
        del self._all[parent.pid]
        if os.WIFSIGNALED(status):  # its tasks were killed with it
            end_adopted({*self._all, *self._left})
        self._left = reap_adopted(self._all)
        if parent.report >= 0:
            self._reported(parent)
            if parent.report >= 0:
                self._reported(parent)
        if self._parents.get(parent.key) is parent:
            self._refuse(parent, "the process that parsed it has ended", is_kept=False)

    def _seconds_to_next_end(self) -> float | None:
        ends = [parent.begun + PARSE_SECONDS for parent in self._all.values() if parent.report >= 0]
        ends += [parent.begun + self._wait_seconds for parent in self._all.values() if parent.waiting]
        ends += [parent.begun + self._parse_seconds for parent in self._parents.values() if parent.is_ready]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _let_go(self, parent: _Parent) -> None:
        """Send tasks the ordinary way that would wait too long; the parse goes on, for later ones."""
        if parent.waiting and time.monotonic() - parent.begun >= self._wait_seconds:
            waiting, parent.waiting = parent.waiting, []
            for request in waiting:
                request.answer("it is still being parsed, for later tasks")

    def _end_long_parses(self) -> None:
        for parent in list(self._all.values()):
            if parent.report >= 0 and time.monotonic() - parent.begun >= PARSE_SECONDS:
                os.kill(parent.pid, signal.SIGKILL)
                if self._parents.get(parent.key) is parent:
                    parent.stamps = {}
                    self._refuse(parent, f"its parsing takes over {PARSE_SECONDS:.0f} s", is_kept=False)

    def _retire_old(self) -> None:
        """Let those end whose parse is too old for any task: they hold memory."""
        for parent in list(self._parents.values()):
            if parent.is_ready and time.monotonic() - parent.begun >= self._parse_seconds:
                self._retire(parent)


def start_nursery(*, parse_seconds: float, most_files: int, wait_seconds: float) -> tuple[socket.socket, int]:
    """Fork the nursery from a process with one thread; return the end that slots ask with, and its process."""
    asks, served = make_pair()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            asks.close()
            nursery = Nursery(served, parse_seconds=parse_seconds, most_files=most_files, wait_seconds=wait_seconds)
            nursery.run(parent=parent)
        except BaseException:  # noqa: BLE001 - the last frame of a forked process
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(os.EX_SOFTWARE)
    served.close()
    return asks, pid


def leave_connections(*kept: int) -> None:
    """Put nothing in the place of each socket that is inherited: its number stays taken, its peer sees no copy."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if descriptor > 2 and descriptor not in kept and stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.dup2(nothing, descriptor, inheritable=False)
        except OSError:
            continue
    os.close(nothing)
