"""Which fault of a plan an exchange or an event meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from hybrid_executor.store.scripts import Script, calls, load_script
from tests.simulation.plan import Fault
from tests.simulation.world import Process, World

_TASK_SLOT = "/"
_LASTS_SECONDS = 5.0
"""Two refusals that are farther apart would look like one that lasts, and that fails a launch (``launch_patience``)."""
_REFUSALS = ("kube_403", "kube_404")


@cache
def scripts() -> Mapping[str, Script]:
    """Return the store's scripts by their names."""
    return {name: load_script(table) for name, table in vars(calls).items() if hasattr(table, "_fields")}


@cache
def script_names() -> Mapping[str, str]:
    """Return their names by their digests."""
    return {script.digest: name for name, script in scripts().items()}


class FaultsMet:
    """The faults of the network. One without a length meets the next exchange of its target, and no other.

    :ivar disturbed_until: until when each process was kept from what it does by one that an exchange with Redis met.
    """

    def __init__(self, world: World, faults: Sequence[Fault]) -> None:
        self.disturbed_until: dict[str, float] = {}
        self._world = world
        self._redis = [fault for fault in faults if fault.is_of_redis]
        self._kube = [fault for fault in faults if fault.is_of_kube]
        self._watch = [fault for fault in faults if fault.is_of_watch]
        self._attachments = [fault for fault in faults if fault.is_of_attachment]

    def of_redis(self, process: Process, commands: Sequence[Sequence[Any]]) -> Fault | None:
        """Return what happens to an exchange with Redis, None for nothing."""
        if not self._redis:
            return None

        def may_meet(fault: Fault) -> bool:
            return not fault.script or any(
                command[0] == "EVALSHA" and script_names().get(command[1]) == fault.script for command in commands
            )

        return self._met(self._redis, process, may_meet)

    def disturb(self, process: Process, seconds: float) -> None:
        """Note that a process was kept from what it does, and may be so for some seconds more."""
        name, until = name_of(process), self._world.seconds() + seconds
        self.disturbed_until[name] = max(until, self.disturbed_until.get(name, 0.0))

    def of_kube(self, process: Process, method: str, only_for: Mapping[str, Sequence[str]]) -> Fault | None:
        """Return what happens to a request, None for nothing."""
        if not self._kube:
            return None
        now = self._world.seconds()

        def may_meet(fault: Fault) -> bool:
            if fault.kind in _REFUSALS and now - fault.at > _LASTS_SECONDS:
                return False
            return method in only_for.get(fault.kind, (method,))

        return self._met(self._kube, process, may_meet)

    def of_watch(self, process: Process) -> Fault | None:
        """Return what happens to an event of a watch, None for nothing."""
        return self._met(self._watch, process) if self._watch else None

    def of_attachment(self, process: Process) -> Fault | None:
        """Return what happens to an attachment to a pod, None for nothing."""
        return self._met(self._attachments, process) if self._attachments else None

    def _met(
        self, faults: list[Fault], process: Process, may_meet: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        now = self._world.seconds()
        if faults[0].at > now:
            return None
        name = name_of(process)
        for fault in faults:
            if fault.at > now:
                return None
            if fault.target not in ("*", name) or not may_meet(fault):
                continue
            if not fault.seconds:
                faults.remove(fault)
                return fault
            if now < fault.at + fault.seconds:
                return fault
            faults.remove(fault)
            return self._met(faults, process, may_meet) if faults else None
        return None


def name_of(process: Process) -> str:
    """Return the name of a process, for a task process that of its worker."""
    return process.name.partition(_TASK_SLOT)[0]
