"""A sandbox with scripted faults. Every method may be called from any thread and has taken effect when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hybrid_executor.sandbox.answers import refusal, too_many_requests
from hybrid_executor.sandbox.interference import Interference, Parts
from hybrid_executor.sandbox.kubelet import Kubelet
from hybrid_executor.sandbox.request_info import RequestInfo
from hybrid_executor.sandbox.server import SandboxServer
from hybrid_executor.sandbox.status import StatusError
from hybrid_executor.sandbox.watching import error_line
from tests.faulty_sandbox.rules import Denial, Fault, FaultRules

Caller = Callable[[Callable[[], Any]], Any]
"""Runs a function in the server's event loop and returns its result."""


class Faults(Interference):
    """What can be made to go wrong in one sandbox."""

    def __init__(self) -> None:
        self._rules = FaultRules()
        self._parts: Parts | None = None
        self._call: Caller = lambda function: function()

    def attach(self, parts: Parts) -> None:
        self._parts = parts

    def run_with(self, call: Caller) -> None:
        """Say how a function gets into the sandbox's event loop."""
        self._call = call

    def is_denied(self, *, verb: str, resource: str, namespace: str) -> bool:
        return self._rules.is_denied(verb=verb, resource=resource, namespace=namespace)

    async def serve(self, app: ASGIApp, info: RequestInfo, scope: Scope, receive: Receive, send: Send) -> None:
        for fault in self._rules.strike(info):
            if fault.action == "slow":
                await asyncio.sleep(fault.delay_seconds)
                continue
            if fault.action == "status":
                await _status_answer(fault, info)(scope, receive, send)
                return
            if fault.action == "lose_reply" and scope["type"] == "websocket":
                await self._attach_without_answer(app, scope, receive, send)
                return
            if fault.action == "lose_reply":
                await _handle_silently(app, scope, receive)
            self.parts.connections.cut(scope["client"])
            while not (await receive())["type"].endswith(".disconnect"):
                continue
            return
        await app(scope, receive, send)

    async def _attach_without_answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an attachment, and cut it instead of sending what the container prints."""

        async def send_or_cut(message: Message) -> None:
            if len(message.get("bytes") or b"") > 1:
                self.parts.connections.cut(scope["client"])
            else:
                await send(message)

        await app(scope, receive, send_or_cut)

    @property
    def parts(self) -> Parts:
        """The running sandbox's parts."""
        assert self._parts is not None, "the sandbox has not been started"
        return self._parts

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
        self._rules.deny(Denial(verb, resource, namespace))

    def cut_watches(self) -> int:
        """Cut the connections of all watches; return how many there were."""
        count: int = self._call(self.parts.connections.cut_watches)
        return count

    def cut_attachments(self) -> int:
        """Cut the connections of all attachments to containers; return how many there were."""
        count: int = self._call(self.parts.connections.cut_attachments)
        return count

    def stall_watches(self) -> None:
        """Let watches stay open and send nothing, as behind a half-open connection, until :meth:`resume_watches`."""
        self._switch(are_stalled=True)

    def resume_watches(self) -> None:
        """Let stalled watches go on where they were."""
        self._switch(are_stalled=False)

    def duplicate_events(self, copies: int = 2) -> None:
        """Send each event so many times from now on; 1 ends it."""
        self._switch(copies=copies)

    def replay_events(self, count: int) -> None:
        """Send the newest changes once more to every watch, out of order."""
        self._switch(replay_count=count, replays=self.parts.switch.replays + 1)

    def compact(self) -> None:
        """Forget all history: every older version is answered with 410."""
        self._call(self.parts.cluster.compact)

    def restart(self, down_seconds: float = 0.0) -> None:
        """Take the API down for some seconds: connections are cut and refused. Objects and pods stay."""
        self._call(lambda: self.parts.restart(down_seconds))

    def oom_kill(self, name: str, *, namespace: str = "default", container: str = "") -> None:
        """Let the out-of-memory killer strike a container of a running pod (default: the first that runs).

        :raises StatusError: 404, no such pod runs.
        """
        self._call(lambda: self._kubelet.oom_kill(namespace, name, container=container))

    def evict(self, name: str, *, message: str, namespace: str = "default") -> None:
        """Let the kubelet evict a running pod; it stays behind as Failed, with reason Evicted.

        :raises StatusError: 404, no such pod runs.
        """
        self._call(lambda: self._kubelet.evict(namespace, name, message=message))

    def lose_node(self) -> None:
        """Lose the node: all pods' processes die, the pods turn Failed (NodeLost) and are removed."""
        self._call(lambda: self._kubelet.lose_node())

    def recover_node(self) -> None:
        """Bring the node back, empty."""
        self._call(lambda: self._kubelet.recover_node())

    @property
    def _kubelet(self) -> Kubelet:
        assert self.parts.kubelet is not None, "this sandbox runs no pods"
        return self.parts.kubelet

    def _switch(self, **settings: Any) -> None:
        def change() -> None:
            for name, value in settings.items():
                setattr(self.parts.switch, name, value)
            self.parts.cluster.wake()

        self._call(change)


class FaultySandbox(SandboxServer):
    """A sandbox in which things can be made to go wrong; its arguments are those of a sandbox.

    :ivar faults: what can be made to go wrong.
    """

    def __init__(self, **options: Any) -> None:
        self.faults = Faults()
        super().__init__(interference=self.faults, **options)
        self.faults.run_with(self.call)


async def _handle_silently(app: ASGIApp, scope: Scope, receive: Receive) -> None:
    async def discard(_: Message) -> None:
        return

    try:
        await app(scope, receive, discard)
    except StatusError:
        return


def _status_answer(fault: Fault, info: RequestInfo) -> Response:
    if fault.code == 429:
        return too_many_requests(1 if fault.retry_after_seconds is None else fault.retry_after_seconds)
    if fault.as_event and info.verb == "watch":
        return StreamingResponse(iter([error_line(fault.as_status())]), media_type="application/json")
    return refusal(fault.as_status())
