"""Threads, locks, events and queues of a simulated process: each thread is an actor.

An actor that takes a lock, or waits for an event or queue, may let others go on first, as a real scheduler of threads
does. Only what the product uses is here.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from greenlet import getcurrent

from tests.simulation import clocks

if TYPE_CHECKING:
    from tests.simulation.world import Waiting, World

_SWITCH_CHANCE = 0.02
_SWITCH_SECONDS = 0.02


class Places:
    """Actors that wait in a row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: deque[Waiting] = deque()

    def wait(self, seconds: float | None) -> bool:
        """Wait to be woken; return False where the time was over first."""
        waiting = self._world.waiting()
        self._waiting.append(waiting)
        return self._world.park(waiting, seconds)

    def wake(self, count: int | None = None) -> None:
        """Wake the first ones, all by default."""
        left = len(self._waiting) if count is None else count
        while self._waiting and left > 0:
            waiting = self._waiting.popleft()
            if not (waiting.is_over or waiting.process.is_dead):
                self._world.wake(waiting)
                left -= 1


class Lock:
    """``threading.Lock`` and ``threading.RLock``."""

    def __init__(self, world: World, *, is_reentrant: bool = False) -> None:
        self._world = world
        self._is_reentrant = is_reentrant
        self._holder: Any = None
        self._depth = 0
        self._places = Places(world)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it."""
        if self._holder is not None and self._holder is getcurrent() and self._is_reentrant:
            self._depth += 1
            return True
        if blocking:
            may_switch(self._world)
        while self._holder is not None:
            if not blocking or not self._places.wait(None if timeout < 0 else timeout):
                return False
        self._holder, self._depth = getcurrent(), 1
        return True

    def release(self) -> None:
        """Give it back."""
        self._depth -= 1
        if not self._depth:
            self._holder = None
            self._places.wake(1)

    def locked(self) -> bool:
        """Return whether somebody has it."""
        return self._holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Event:
    """``threading.Event``."""

    def __init__(self, world: World) -> None:
        self._is_set = False
        self._places = Places(world)

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True
        self._places.wake()

    def clear(self) -> None:
        """Take it back."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set."""
        return self._is_set or self._places.wait(timeout) or self._is_set


class Condition:
    """``threading.Condition``."""

    def __init__(self, world: World, lock: Lock | None = None) -> None:
        self._lock = lock or Lock(world, is_reentrant=True)
        self._places = Places(world)
        self._world = world
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait to be notified, and take it again."""
        self._lock.release()
        try:
            return self._places.wait(timeout)
        finally:
            self._lock.acquire()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something holds."""
        until = None if timeout is None else self._world.now + timeout
        while not predicate():
            left = None if until is None else until - self._world.now
            if left is not None and left <= 0:
                return False
            self.wait(left)
        return True

    def notify(self, n: int = 1) -> None:
        """Wake some."""
        self._places.wake(n)

    def notify_all(self) -> None:
        """Wake all."""
        self._places.wake()


class SimpleQueue:
    """``queue.SimpleQueue``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: deque[Any] = deque()
        self._places = Places(world)

    def put(self, item: object) -> None:
        """Add an item."""
        self._items.append(item)
        self._places.wake(1)

    def get(self) -> Any:
        """Wait for an item and take it."""
        may_switch(self._world)
        while not self._items:
            self._places.wait(None)
        return self._items.popleft()

    def empty(self) -> bool:
        """Return whether there is no item."""
        return not self._items


class Thread:
    """``threading.Thread``: an actor of the process that starts it."""

    def __init__(
        self,
        world: World,
        target: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str = "",
        daemon: bool | None = None,
    ) -> None:
        self._world = world
        self._run = lambda: target(*args, **(kwargs or {}))
        self.name = name
        self.daemon = daemon
        self._is_alive = False
        self._ended = Event(world)

    def start(self) -> None:
        """Begin."""
        self._is_alive = True
        self._world.start(self._world.current, self._live)

    def _live(self) -> None:
        try:
            self._run()
        finally:
            self._is_alive = False
            self._ended.set()

    def is_alive(self) -> bool:
        """Return whether it has begun and not ended."""
        return self._is_alive

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._is_alive:
            self._ended.wait(timeout)


class Done:
    """A job that is over, for ``add_done_callback``."""

    def __init__(self) -> None:
        self._callback: Callable[[Done], object] | None = None
        self._is_done = False

    def add_done_callback(self, callback: Callable[[Done], object]) -> None:
        """Call it when the job is over."""
        self._callback = callback
        if self._is_done:
            callback(self)

    def finish(self) -> None:
        """The job is over."""
        self._is_done = True
        if self._callback is not None:
            self._callback(self)


class ThreadPool:
    """``ThreadPoolExecutor``."""

    def __init__(self, world: World, max_workers: int, **_: object) -> None:
        self._world = world
        self._most = max_workers
        self._busy = 0
        self._jobs: deque[tuple[Callable[[], object], Done]] = deque()

    def submit(self, job: Callable[..., object], *args: object) -> Done:
        """Run a job as soon as a thread is free."""
        done = Done()
        self._jobs.append((lambda: job(*args), done))
        if self._busy < self._most:
            self._busy += 1
            self._world.start(self._world.current, self._work)
        return done

    def _work(self) -> None:
        while self._jobs:
            job, done = self._jobs.popleft()
            may_switch(self._world)
            job()
            done.finish()
        self._busy -= 1

    def shutdown(self, **_: object) -> None:
        """Begin no more jobs."""
        self._jobs.clear()


def may_switch(world: World) -> None:
    """Let others go on, now and then."""
    process = world.current
    if process is not world.machine and process.random.random() < _SWITCH_CHANCE:
        world.sleep(_SWITCH_SECONDS * process.random.random())


@contextmanager
def replaced_threads(world: World) -> Iterator[None]:
    """Let Python's threads be actors of this world."""

    def thread(group: None = None, target: Any = None, name: str = "", **rest: Any) -> Thread:
        return Thread(world, target, name=name, **rest)

    replaced: dict[tuple[Any, str], Any] = {
        (threading, "Thread"): thread,
        (threading, "Lock"): lambda: Lock(world),
        (threading, "RLock"): lambda: Lock(world, is_reentrant=True),
        (threading, "Event"): lambda: Event(world),
        (threading, "Condition"): lambda lock=None: Condition(world, lock),
        (queue, "SimpleQueue"): lambda: SimpleQueue(world),
        (queue, "time"): clocks.monotonic,
    }
    with ExitStack() as stack:
        for (module, name), stand_in in replaced.items():
            stack.enter_context(mock.patch.object(module, name, stand_in))
        yield
