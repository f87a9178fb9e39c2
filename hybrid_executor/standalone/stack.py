"""Starts components when their requirements are ready, watches them, and stops them in order.

Promises: no process of the stack runs after :meth:`Stack.stop`, or after this process has died. A component that ends
by itself is an error with its last output lines. It is not restarted, because a restart would hide the error.
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
    """A component ended unexpectedly, or was not ready in time."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One process of a stack.

    :ivar after: names of the components that must be ready before this one starts.
    :ivar is_ready: called several times a second while it runs; must return within a second.
    :ivar runs_once: it is ready when it has ended with exit code 0.
    :ivar stop_rank: components with a lower rank end before those with a higher one are stopped.
    :ivar grace_seconds: time to end after SIGTERM.
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
    """Components that start and stop together. Not thread-safe.

    :param print_line: called with every output line of a component.
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
        """Start all components and return whether all became ready; ``False`` only if ``stop`` was set.

        :param on_wait: called several times a second with the names of the components that are not ready.
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
        """Start the components that can start, and check those that run; returns at once.

        :raises StackFailed: a component ended unexpectedly.
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
        """Stop all components, those with the lowest rank first, and wait until no process runs.

        :param hurry: when set, remaining processes are killed.
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
