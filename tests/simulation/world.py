"""Virtual time, and actors that take turns in one thread.

An actor is a greenlet of a simulated process. It goes on until it waits; then the actor goes on whose time comes next.
While a history runs, the clocks, waits, process ids and random bytes of Python's own modules are the world's, so that
also code which does not let its clock be replaced is repeated by a seed.
"""

from __future__ import annotations

import heapq
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from unittest import mock

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = 1_700_000_000.0
"""The first moment of each history, seconds since 1970."""


@dataclass(eq=False)
class Process:
    """A simulated process.

    :ivar paused_until: it has been stopped, and is continued then.
    """

    name: str
    pid: int
    paused_until: float = 0.0
    is_dead: bool = False
    actors: list[greenlet] = field(default_factory=list)
    children: list[Process] = field(default_factory=list)
    exchanges: int = 0


class World:
    """One history's time and processes.

    :ivar now: seconds since 1970.
    :ivar log: what happened, in order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = EPOCH
        self.log: list[str] = []
        self.random = random.Random(seed)
        self._waiting: list[tuple[float, int, greenlet | Callable[[], None], Process]] = []
        self._places = 0
        self._pids = 100
        self.machine = Process("machine", 1)
        self.current = self.machine
        self._hub = getcurrent()
        self._end = float("inf")
        self.is_over: Callable[[], bool] = lambda: False
        self.steps = 0

    def say(self, text: str, *, process: Process | None = None) -> None:
        """Write a line of the history."""
        who = process or self.current
        self.log.append(f"{self.now - EPOCH:9.3f} {who.name:<14} {text}")

    def seconds(self) -> float:
        """Return seconds since the history began."""
        return self.now - EPOCH

    def _time(self) -> float:
        return self.now

    def _time_ns(self) -> int:
        return int(self.now * 1e9)

    def _monotonic(self) -> float:
        return self.now - EPOCH + 1000

    def _getpid(self) -> int:
        return self.current.pid

    def start(self, process: Process, run: Callable[[], object]) -> None:
        """Let a new actor of a process begin now."""
        actor = greenlet(lambda: self._guarded(run), parent=self._hub)
        process.actors.append(actor)
        self._push(self.now, actor, process)

    @staticmethod
    def _guarded(run: Callable[[], object]) -> None:
        with suppress(GreenletExit):
            run()

    def make_process(self, name: str, *, parent: Process | None = None) -> Process:
        """Return a new process."""
        self._pids += 1
        process = Process(name, self._pids)
        if parent is not None:
            parent.children.append(process)
        return process

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something so many seconds after the history's beginning. It must not wait."""
        self._push(EPOCH + seconds, act, self.machine)

    def _push(self, at: float, what: greenlet | Callable[[], None], process: Process) -> None:
        self._places += 1
        heapq.heappush(self._waiting, (at, self._places, what, process))

    def sleep(self, seconds: float) -> None:
        """Wait; others go on meanwhile."""
        process = self.current
        if process.is_dead:
            raise GreenletExit
        actor = getcurrent()
        if actor is self._hub:
            raise RuntimeError("something waits that is no actor")
        self._push(self.now + max(0.0, seconds), actor, process)
        self._hub.switch()
        if process.is_dead:
            raise GreenletExit

    def kill(self, process: Process) -> None:
        """End a process and its children at once, where they are."""
        process.is_dead = True
        for child in process.children:
            self.kill(child)

    def pause(self, process: Process, seconds: float) -> None:
        """Stop a process and its children for some time."""
        process.paused_until = self.now + seconds
        for child in process.children:
            self.pause(child, seconds)

    def run(self, seconds: float) -> None:
        """Run until the time is over, or until ``is_over``."""
        end = EPOCH + seconds
        while self._waiting and not self.is_over():
            at, _, what, process = heapq.heappop(self._waiting)
            if at > end:
                self.now = end
                break
            if process.paused_until > at and not process.is_dead:
                self._push(process.paused_until, what, process)
                continue
            self.now = max(self.now, at)
            self.current = process
            self.steps += 1
            if isinstance(what, greenlet):
                if not what.dead:
                    what.switch()
            else:
                what()
            self.current = self.machine

    def close(self) -> None:
        """End all actors."""
        for _, _, what, process in self._waiting:
            if isinstance(what, greenlet) and not what.dead:
                process.is_dead = True
                self.current = process
                what.throw(GreenletExit)
        self._waiting.clear()

    @contextmanager
    def governing(self) -> Iterator[None]:
        """Let the clocks of Python's modules be this world's."""
        threads = set(threading.enumerate())
        state = random.getstate()
        random.seed(self.seed)
        with (
            mock.patch.object(time, "time", self._time),
            mock.patch.object(time, "time_ns", self._time_ns),
            mock.patch.object(time, "monotonic", self._monotonic),
            mock.patch.object(time, "sleep", self.sleep),
            mock.patch.object(os, "getpid", self._getpid),
            mock.patch.object(os, "urandom", self.random.randbytes),
        ):
            try:
                yield
            finally:
                self.close()
        random.setstate(state)
        escaped = set(threading.enumerate()) - threads
        assert not escaped, f"threads were started: {escaped}"
