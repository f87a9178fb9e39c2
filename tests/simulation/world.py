"""Virtual time, and actors that take turns in one thread.

An actor is a greenlet of a simulated process. It goes on until it waits; then the actor goes on whose time comes next.
While a history runs, the clocks, waits, threads, process ids and random bytes of Python's own modules are the world's,
so that also code which does not let its clock be replaced is repeated by a seed.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation import clocks

EPOCH = 1_700_000_000.0
"""The first moment of each history on the simulated Redis, seconds since 1970."""

_LOOK_SECONDS = 0.5
_GRAIN_SECONDS = 1e-6
"""Each wait takes so much longer, since a time that is rounded down would have its waiter wait for nothing again."""


@dataclass(eq=False)
class Process:
    """A simulated process.

    :ivar random: chooses its times on the network, so that they do not depend on what others do.
    :ivar paused_until: it has been stopped, and is continued then.
    :ivar trips: how many exchanges with Redis it has made.
    :ivar clock_ahead: seconds that its clock is ahead.
    """

    name: str
    pid: int
    random: random.Random
    paused_until: float = 0.0
    is_dead: bool = False
    children: list[Process] = field(default_factory=list)
    trips: int = 0
    clock_ahead: float = 0.0


class Waiting:
    """One actor that waits for its time, or until it is woken."""

    __slots__ = ("actor", "is_over", "process", "was_woken")

    def __init__(self, actor: greenlet, process: Process) -> None:
        self.actor = actor
        self.process = process
        self.is_over = False
        self.was_woken = False


class World:
    """One history's time and processes.

    :param epoch: its first moment, seconds since 1970.
    :ivar now: seconds since 1970.
    :ivar log: what happened, in order.
    """

    def __init__(self, seed: int, *, epoch: float = EPOCH) -> None:
        self.seed = seed
        self.now = self._epoch = epoch
        self.log: list[str] = []
        self.random = random.Random(seed)
        self.machine = Process("machine", 1, self.random)
        self.current = self.machine
        self.is_over: Callable[[], bool] = lambda: False
        self.steps = 0
        self._queue: list[tuple[float, int, Waiting | Callable[[], None], Process]] = []
        self._places = 0
        self._pids = 100
        self._actors: dict[greenlet, Process] = {}
        self._hub = getcurrent()
        self._end = float("inf")
        self._next_look = 0.0

    def say(self, text: str, *, process: Process | None = None) -> None:
        """Write a line of the history."""
        who = process or self.current
        self.log.append(f"{self.seconds():9.3f} {who.name:<14} {text}")

    def seconds(self) -> float:
        """Return seconds since the history began."""
        return self.now - self._epoch

    def time(self) -> float:
        """Stand in for ``time.time``."""
        return self.now + self.current.clock_ahead

    def monotonic(self) -> float:
        """Stand in for ``time.monotonic``."""
        return self.seconds() + 1000

    def getpid(self) -> int:
        """Return the id of the process that runs now."""
        return self.current.pid

    def urandom(self, size: int) -> bytes:
        """Return random bytes."""
        return self.random.randbytes(size)

    def make_process(self, name: str, *, parent: Process | None = None) -> Process:
        """Return a new process."""
        self._pids += 1
        process = Process(name, self._pids, random.Random(f"{self.seed} {name}"))
        if parent is not None:
            parent.children.append(process)
        return process

    def start(self, process: Process, run: Callable[[], object]) -> None:
        """Let a new actor of a process begin now."""
        actor = greenlet(lambda: self._guarded(run), parent=self._hub)
        self._actors[actor] = process
        self._push(self.now, Waiting(actor, process), process)

    def _guarded(self, run: Callable[[], object]) -> None:
        with suppress(GreenletExit):
            run()
        self._actors.pop(getcurrent(), None)

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something so many seconds after the history's beginning. It must not wait."""
        self._push(self._epoch + seconds, act, self.machine)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so many seconds. It must not wait."""
        self._push(self.now + seconds, act, self.machine)

    def _push(self, at: float, what: Waiting | Callable[[], None], process: Process) -> None:
        self._places += 1
        heapq.heappush(self._queue, (at, self._places, what, process))

    # ---- waits ----

    def waiting(self) -> Waiting:
        """Return what :meth:`wake` needs to wake the actor that runs now; :meth:`park` then waits."""
        actor = getcurrent()
        if actor is self._hub:
            raise RuntimeError("something waits that is no actor")
        if self.current.is_dead:
            raise GreenletExit
        return Waiting(actor, self.current)

    def park(self, waiting: Waiting, seconds: float | None = None) -> bool:
        """Wait, at most so long; return whether it was woken."""
        if not waiting.was_woken:
            if seconds is not None:
                self._push(self.now + max(0.0, seconds) + _GRAIN_SECONDS, waiting, waiting.process)
            self._hub.switch()
        if waiting.process.is_dead:
            raise GreenletExit
        return waiting.was_woken

    def wake(self, waiting: Waiting) -> None:
        """Let an actor that waits go on. It goes on when the others whose time has come have gone on."""
        if not (waiting.is_over or waiting.was_woken):
            waiting.was_woken = True
            self._push(self.now, waiting, waiting.process)

    def sleep(self, seconds: float) -> None:
        """Wait; others go on meanwhile."""
        process, until = self.current, self.now + max(0.0, seconds) + _GRAIN_SECONDS
        is_first = until < self._next_look and (not self._queue or until < self._queue[0][0])
        if is_first and until >= process.paused_until and not process.is_dead and process is not self.machine:
            self.now = until  # nobody else goes on before
            self.steps += 1
            return
        waiting = self.waiting()
        self._push(until, waiting, process)
        self._hub.switch()
        if waiting.process.is_dead:
            raise GreenletExit

    # ---- processes ----

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

    # ---- the run ----

    def run(self, seconds: float) -> None:
        """Run until the time is over, or until ``is_over``, which is asked now and then."""
        end = self._epoch + seconds
        while self._queue:
            at, _, what, process = heapq.heappop(self._queue)
            if at >= self._next_look:
                self._next_look = at + _LOOK_SECONDS
                if self.is_over():
                    return
            if at > end:
                self.now = end
                return
            if process.paused_until > at and not process.is_dead:
                self._push(process.paused_until, what, process)
                continue
            if at > self.now:
                self.now = at
            self.steps += 1
            if type(what) is Waiting:
                if what.is_over:
                    continue
                what.is_over = True
                self.current = process
                what.actor.switch()
                self.current = self.machine
            else:
                what()

    def close(self) -> None:
        """End all actors."""
        for process in self._actors.values():
            process.is_dead = True
        for actor, process in list(self._actors.items()):
            self.current = process
            if actor and not actor.dead:
                actor.throw(GreenletExit)
        self.current = self.machine
        self._queue.clear()

    @contextmanager
    def governing(self) -> Iterator[None]:
        """Let the clocks and threads of Python's modules be this world's."""
        from tests.simulation.threads import replaced_threads

        threads = set(threading.enumerate())
        state = random.getstate()
        random.seed(self.seed)
        clocks.govern(self)
        with replaced_threads(self):
            try:
                yield
            finally:
                self.close()
                clocks.govern(None)
        random.setstate(state)
        escaped = set(threading.enumerate()) - threads
        assert not escaped, f"threads were started: {escaped}"
