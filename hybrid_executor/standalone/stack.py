"""A stack of components: started as soon as what they need is ready, watched, stopped in order.

Promises: after :meth:`Stack.stop` none of the stack's processes runs, and neither does any after the death of this
process. A component that ends on its own is an error that tells its last words; it is never silently started again,
since on a developer's machine that hides what is broken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from hybrid_executor.errors import HybridError
from hybrid_executor.standalone.process import GuardedProcess

_TICK_SECONDS = 0.1
_KILLED_SECONDS = 10.0

Printer = Callable[[str, str], None]
"""Takes the component's name and a line of its output; called from several threads."""


class StackFailed(HybridError):
    """A component ended that should not have, or did not become ready in time."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One process of a stack.

    :ivar after: names of the components that must be ready before this one starts.
    :ivar is_ready: asked several times a second once it runs; must return within a second. Components that
        ``runs_once`` are ready when they have ended well.
    :ivar stop_rank: components of a lower rank have ended before those of a higher one are asked to.
    :ivar grace_seconds: how long it may take to end.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    after: tuple[str, ...] = ()
    is_ready: Callable[[], bool] = field(default=lambda: True)
    runs_once: bool = False
    stop_rank: int = 0
    grace_seconds: float = 10.0


class Stack:
    """Components that live and die together. Not for several threads.

    :param print_line: takes every line that a component writes.
    """

    def __init__(self, components: Sequence[Component], *, print_line: Printer) -> None:
        self._components = {component.name: component for component in components}
        self._print_line = print_line
        self._processes: dict[str, GuardedProcess] = {}
        self._ready: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The components' names, in the order they were given."""
        return tuple(self._components)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The names of the components that are not ready yet."""
        return tuple(name for name in self._components if name not in self._ready)

    def wait_ready(
        self,
        *,
        timeout_seconds: float,
        stop: threading.Event | None = None,
        on_wait: Callable[[tuple[str, ...]], None] = lambda names: None,
    ) -> bool:
        """Start everything and return whether all of it became ready; ``False`` only where ``stop`` was set.

        :param on_wait: called several times a second with the names of what is not ready yet.
        :raises StackFailed: a component ended, or is not ready within the time.
        """
        deadline = time.monotonic() + timeout_seconds
        stop = stop or threading.Event()
        while not stop.wait(_TICK_SECONDS):
            self.advance()
            if not self.waiting_for:
                return True
            on_wait(self.waiting_for)
            if time.monotonic() > deadline:
                name = self.waiting_for[0]
                raise StackFailed(
                    f"{name} was not ready within {timeout_seconds:.0f} s (waiting for "
                    f"{', '.join(self.waiting_for)}).{self._last_words(name)}"
                )
        return False

    def advance(self) -> None:
        """Start what can start, and look at what runs; returns at once.

        :raises StackFailed: a component ended that should not have.
        """
        for name, component in self._components.items():
            process = self._processes.get(name)
            if process is None:
                if self._ready.issuperset(component.after):
                    self._processes[name] = self._start(component)
            elif process.exit_code is not None and not (component.runs_once and process.exit_code == 0):
                process.wait(timeout_seconds=1)
                raise StackFailed(
                    f"{name} ended unexpectedly with exit code {process.exit_code}.{self._last_words(name)}"
                )
            elif name not in self._ready and (process.exit_code == 0 if component.runs_once else component.is_ready()):
                self._ready.add(name)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the running components' guards, by component."""
        return {name: process.pid for name, process in self._processes.items() if process.exit_code is None}

    def stop(self, *, hurry: threading.Event | None = None) -> None:
        """Stop all components, those of the lowest rank first, and wait until nothing of them runs.

        :param hurry: once set, what still runs is killed.
        """
        hurry = hurry or threading.Event()
        started = [component for component in self._components.values() if component.name in self._processes]
        ranked = sorted(started, key=lambda component: component.stop_rank)
        for _, group in groupby(ranked, key=lambda component: component.stop_rank):
            processes = [self._processes[component.name] for component in group]
            for process in processes:
                process.stop()
            while any(process.exit_code is None for process in processes):
                if hurry.wait(_TICK_SECONDS / 2):
                    for process in processes:
                        process.kill()
                    break
            for process in processes:
                process.wait(timeout_seconds=_KILLED_SECONDS)
        self._processes.clear()
        self._ready.clear()

    def _start(self, component: Component) -> GuardedProcess:
        name = component.name
        return GuardedProcess(
            component.command,
            environment=component.environment,
            grace_seconds=component.grace_seconds,
            on_line=lambda line: self._print_line(name, line),
        )

    def _last_words(self, name: str) -> str:
        process = self._processes.get(name)
        lines = process.last_lines[-15:] if process else []
        return "\nIts last lines:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""
