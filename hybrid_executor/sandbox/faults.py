"""Scripted faults for tests in this process: the Python side of :mod:`fault_rules` and :mod:`disturbances`.

Every method may be called from any thread and has taken effect when it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid_executor.sandbox.disturbances import Disturbances
from hybrid_executor.sandbox.fault_rules import Fault, FaultRules

Caller = Callable[[Callable[[], Any]], Any]
"""Runs a function in the server's event loop and returns its result."""


class Faults:
    """What can be made to go wrong in one sandbox."""

    def __init__(self, rules: FaultRules, disturbances: Disturbances, call: Caller) -> None:
        self._rules = rules
        self._disturbances = disturbances
        self._call = call

    def add(self, fault: Fault) -> str:
        """Put a rule in force; return its id."""
        return self._rules.add(fault)

    def fail(
        self,
        code: int,
        *,
        verb: str = "",
        resource: str = "",
        path: str = "",
        times: int | None = 1,
        skip: int = 0,
        retry_after_seconds: int | None = None,
        as_event: bool = False,
        reason: str = "",
        message: str = "",
    ) -> str:
        """Answer matching requests with an error status; return the rule's id."""
        return self.add(
            Fault(
                "status",
                verb=verb,
                resource=resource,
                path=path,
                times=times,
                skip=skip,
                code=code,
                retry_after_seconds=retry_after_seconds,
                as_event=as_event,
                reason=reason,
                message=message,
            )
        )

    def slow(self, delay_seconds: float, *, verb: str = "", path: str = "", times: int | None = None) -> str:
        """Let matching requests wait before they are handled; return the rule's id."""
        return self.add(Fault("slow", verb=verb, path=path, times=times, delay_seconds=delay_seconds))

    def drop(self, *, verb: str = "", path: str = "", times: int | None = 1) -> str:
        """Cut the connection of matching requests before anything is done; return the rule's id."""
        return self.add(Fault("drop", verb=verb, path=path, times=times))

    def lose_reply(self, *, verb: str = "", path: str = "", times: int | None = 1) -> str:
        """Handle matching requests and cut the connection instead of answering; return the rule's id."""
        return self.add(Fault("lose_reply", verb=verb, path=path, times=times))

    def remove(self, fault_id: str) -> None:
        """Take a rule back; one that is gone is no error."""
        self._rules.remove(fault_id)

    def clear(self) -> None:
        """Take all rules and denials back."""
        self._rules.clear()

    def hits(self, fault_id: str) -> int:
        """Return how often a rule has struck."""
        return self._rules.hits(fault_id)

    def deny(self, verb: str, resource: str = "pods", *, namespace: str = "") -> None:
        """Take a right away until :meth:`clear`: 403 for requests, "no" for access reviews. "*" means all."""
        self._call(lambda: self._disturbances.deny(verb, resource, namespace))

    def cut_watches(self) -> int:
        """Cut the connections of all watches; return how many there were."""
        count: int = self._call(self._disturbances.cut_watches)
        return count

    def stall_watches(self) -> None:
        """Let watches stay open and send nothing until :meth:`resume_watches`."""
        self._call(self._disturbances.stall_watches)

    def resume_watches(self) -> None:
        """Let stalled watches go on where they were."""
        self._call(self._disturbances.resume_watches)

    def duplicate_events(self, copies: int = 2) -> None:
        """Send each event so many times from now on; 1 ends it."""
        self._call(lambda: self._disturbances.duplicate_events(copies))

    def replay_events(self, count: int) -> None:
        """Send the newest changes once more to every watch, out of order."""
        self._call(lambda: self._disturbances.replay_events(count))

    def compact(self) -> None:
        """Forget all history: every older version is answered with 410."""
        self._call(self._disturbances.compact)

    def restart(self, down_seconds: float = 0.0) -> None:
        """Take the API down for some seconds; returns when it is going down. Objects and pods stay."""
        self._call(lambda: self._disturbances.restart(down_seconds))

    def oom_kill(self, name: str, *, namespace: str = "default", container: str = "") -> None:
        """Let the out-of-memory killer strike a container of a running pod (default: the first that runs).

        :raises StatusError: 404, no such pod runs.
        """
        self._call(lambda: self._disturbances.oom_kill(namespace, name, container))

    def evict(self, name: str, *, message: str, namespace: str = "default") -> None:
        """Let the kubelet evict a running pod; it stays behind as Failed, with reason Evicted.

        :raises StatusError: 404, no such pod runs.
        """
        self._call(lambda: self._disturbances.evict(namespace, name, message))

    def lose_node(self) -> None:
        """Lose the node: all pods' processes die, the pods turn Failed (NodeLost) and are removed."""
        self._call(self._disturbances.lose_node)

    def recover_node(self) -> None:
        """Bring the node back, empty."""
        self._call(self._disturbances.recover_node)
