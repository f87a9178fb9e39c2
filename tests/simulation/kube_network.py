"""The way from each agent to the API server, with the faults of a plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from hybrid_executor.errors import KubeError
from hybrid_executor.kube.attach import Answer
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.failures import error_of_answer, error_of_silence
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.status import StatusError
from tests.simulation.faults import FaultsMet
from tests.simulation.kube_server import KubeServer, event_line, refusal_line
from tests.simulation.pod_program import Attachment
from tests.simulation.threads import Places
from tests.simulation.world import Process, World

_SILENT_SECONDS = 5.0
"""How long a client waits for an answer; shorter than in a deployment, so that more happens in a history."""

_LATEST_LINE_SECONDS = 14.0
"""A line that was written may arrive when the client has given up: attachments go through several servers."""

_LATEST_SECONDS = 0.3
"""An API server drops a request whose client has given up, unless it is being written just then."""

_ERRORS: dict[str, tuple[int, str, str]] = {
    "kube_401": (401, "Unauthorized", "Unauthorized"),
    "kube_403": (403, "Forbidden", 'pods is forbidden: User "agent" cannot create resource "pods"'),
    "kube_404": (404, "NotFound", 'namespaces "default" not found'),
    "kube_409": (409, "Conflict", "Operation cannot be fulfilled: the object has been modified; please try again"),
    "kube_410": (410, "Expired", "The resourceVersion for the provided watch is too old."),
    "kube_429": (429, "TooManyRequests", "too many requests"),
    "kube_500": (500, "InternalError", "Internal error occurred: etcdserver: request timed out"),
    "kube_503": (503, "ServiceUnavailable", "apiserver not ready"),
    "kube_504": (504, "Timeout", "Timeout: request did not complete within the allotted timeout"),
}
_ATTACH = "ATTACH"
_ONLY_FOR = {
    "kube_409": ("POST", "PATCH", "DELETE"),
    "kube_410": ("GET",),
    "kube_403": ("POST",),
    "kube_404": ("POST",),
}


class KubeNetwork:
    """All exchanges with the API server."""

    def __init__(self, world: World, server: KubeServer, faults: FaultsMet) -> None:
        self.world = world
        self.server = server
        self.faults = faults
        self._watches: list[WatchStream] = []
        server.listen(self._spread)

    def connect(self, process: Process) -> KubeClient:
        """Return a client of a process."""
        return SimulatedClient(SimulatedTransport(self, process))  # type: ignore[arg-type]

    def _spread(self, change: Change) -> None:
        self._watches = [watch for watch in self._watches if not watch.is_over]
        for watch in self._watches:
            watch.wake()

    def add(self, watch: WatchStream) -> None:
        """Tell a watch of changes."""
        self._watches.append(watch)

    def cut_watches(self) -> None:
        """Break all running watches."""
        for watch in self._watches:
            watch.is_cut = True
            watch.wake()


class SimulatedClient(KubeClient):
    """The client, with attachments that are not made of frames."""

    def write_line(
        self, namespace: str, name: str, *, container: str, line: str, is_answer: Callable[[str], bool], seconds: float
    ) -> Answer:
        transport: Any = self.transport
        answer: Answer = transport.write_line(namespace, name, line, is_answer, seconds)
        return answer


class SimulatedTransport:
    """What :class:`~hybrid_executor.kube.transport.Transport` is in a deployment."""

    host = "https://simulated"

    def __init__(self, network: KubeNetwork, process: Process) -> None:
        self._network = network
        self._process = process
        self.server_time: datetime | None = None
        self.on_answer: Callable[[str, int], None] = lambda *_: None

    def close(self) -> None:
        """There is no connection to give up."""

    def call(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
        **_: object,
    ) -> bytes:
        """Send a request and return the answer."""
        answer = self._exchange(method, doing, lambda: self._ask(method, path, query or {}, body, content_type))
        self.server_time = datetime.fromtimestamp(self._network.world.now, timezone.utc)
        return answer

    def _ask(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> bytes:
        """Let the server answer by its own clock: it writes the times of objects."""
        caller = self._network.world.current
        ahead, caller.clock_ahead = caller.clock_ahead, 0.0
        try:
            return self._network.server.call(method, path, query, body, content_type)
        finally:
            caller.clock_ahead = ahead

    def stream(
        self, path: str, *, doing: str, query: Mapping[str, str], silence_seconds: float, accept: str = ""
    ) -> WatchStream | TextStream:
        """Open a watch, or read a log."""
        if path.endswith("/log"):
            return TextStream(
                self._exchange("GET", doing, lambda: self._network.server.call("GET", path, query, None, ""))
            )
        self._exchange("GET", doing, lambda: b"")
        parts = path.split("/")
        namespace = parts[4] if "namespaces" in parts else None
        return WatchStream(self._network, self._process, namespace, query, doing)

    def write_line(
        self, namespace: str, name: str, line: str, is_answer: Callable[[str], bool], seconds: float
    ) -> Answer:
        """Attach to a pod, write a line and wait for the answer. The end of the attachment closes the pod's input.

        :raises KubeError: nothing was written.
        """
        world, choose, doing = self._network.world, self._process.random.random, f"attach to pod {namespace}/{name}"
        attachment = Attachment(self._network.server, namespace, name)
        try:
            self._exchange(_ATTACH, doing, attachment.open)
        except BaseException:  # also where this process is killed
            attachment.close()
            raise
        fault, choice = self._network.faults.of_attachment(self._process), choose()
        if fault is not None:
            world.say(f"{fault}: {doing}", process=self._process)
        kind = fault.kind if fault is not None else ""
        if kind == "attach_late":  # it is on its way, and nobody can call it back
            world.after(_LATEST_LINE_SECONDS * choice, lambda: attachment.deliver(line))
            return self._await_answer(attachment, is_answer, seconds, doing)
        try:
            world.sleep(0.02 * choose())
            if kind == "attach_cut":
                return Answer("", has_come=False, trouble=f"{doing}: the connection was cut")
            attachment.write(line)
            if kind == "attach_unanswered":
                world.sleep(0.0 if choice < 0.5 else seconds)
                return Answer("", has_come=False, trouble=f"{doing}: the answer is lost")
            return self._await_answer(attachment, is_answer, seconds, doing)
        finally:
            attachment.close()

    def _await_answer(
        self, attachment: Attachment, is_answer: Callable[[str], bool], seconds: float, doing: str
    ) -> Answer:
        world, program = self._network.world, attachment.program
        until = world.now + seconds
        while program is not None and not program.has_ended and (left := until - world.now) > 0:
            if any(is_answer(printed) for printed in program.printed):
                world.sleep(0.02 * self._process.random.random())
                return Answer("\n".join(program.printed), has_come=True)
            program.wait(left)
        return Answer("", has_come=False, trouble=f"{doing}: no answer, or the attachment has ended")

    def _exchange(self, method: str, doing: str, act: Callable[[], bytes]) -> bytes:
        world, times = self._network.world, self._process.random
        there, back = (0.3 * times.random() if times.random() < 0.05 else 0.02 * times.random() for _ in "tb")
        choice, began = times.random(), world.now
        world.sleep(there)
        is_held_up = world.now - began > 1  # this process was paused when it was about to send it
        fault = self._network.faults.of_kube(self._process, method, _ONLY_FOR)
        kind = fault.kind if fault is not None else ""
        if fault is not None:
            world.say(f"{fault}: {doing}")
        if kind == "kube_lost":
            world.sleep(_SILENT_SECONDS)
            raise error_of_silence(doing, TimeoutError("lost"))
        if kind == "kube_late":
            world.after(0.1 + (_SILENT_SECONDS + _LATEST_SECONDS) * choice, lambda: _quietly(lambda: self._late(act)))
            world.sleep(_SILENT_SECONDS)
            raise error_of_silence(doing, TimeoutError("late"))
        if kind in _ERRORS:
            world.sleep(back)
            code, reason, message = _ERRORS[kind]
            raise _error(doing, StatusError(code, reason, message, headers={"Retry-After": "1"}))
        try:
            answer = self._late(act) if is_held_up else act()
        except StatusError as error:
            world.sleep(back)
            raise _error(doing, error) from error
        world.sleep(back)
        if kind == "kube_unanswered":
            world.sleep(0.0 if choice < 0.5 else _SILENT_SECONDS)
            raise error_of_silence(doing, ConnectionResetError("the answer is lost"))
        return answer

    def _late(self, act: Callable[[], bytes]) -> bytes:
        server = self._network.server
        server.is_late = True
        try:
            return act()
        finally:
            server.is_late = False


class TextStream:
    """A log that is read."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def chunks(self) -> Iterator[bytes]:
        """Yield it."""
        yield self._text

    def stop(self) -> None:
        """It has ended."""


class WatchStream:
    """A watch that runs: events come late, twice or never where the plan says so."""

    def __init__(
        self, network: KubeNetwork, process: Process, namespace: str | None, query: Mapping[str, str], doing: str
    ) -> None:
        self.is_over = self.is_cut = False
        self._network = network
        self._process = process
        self._doing = doing
        self._selection = network.server.selection(namespace, query)
        self._cursor = int(query["resourceVersion"])
        self._until = network.world.now + float(query["timeoutSeconds"])
        self._places = Places(network.world)
        network.add(self)

    def wake(self) -> None:
        """There is something to send, or it is over."""
        self._places.wake()

    def stop(self) -> None:
        """End it."""
        self.is_over = True
        self.wake()

    def lines(self) -> Iterator[bytes]:
        """Yield events, one a line."""
        world, server, times = self._network.world, self._network.server, self._process.random
        while not self.is_over and world.now < self._until:
            if self.is_cut:
                self.is_over = True
                raise error_of_silence(self._doing, ConnectionResetError("the watch was cut"))
            try:
                changes = server.changes_after(self._cursor)
            except StatusError as error:
                yield refusal_line(error)
                return
            if not changes:
                self._places.wait(self._until - world.now)
                continue
            self._cursor = changes[-1].version
            world.sleep(0.3 * times.random() if times.random() < 0.05 else 0.02 * times.random())
            for change in changes:
                yield from self._sent(change)

    def _sent(self, change: Change) -> Iterator[bytes]:
        world = self._network.world
        line = event_line(change, self._selection)
        fault = self._network.faults.of_watch(self._process) if line else None
        if fault is not None:
            world.say(f"{fault}: {change.state['metadata']['name']}", process=self._process)
        kind = fault.kind if fault is not None else ""
        if kind == "watch_late":
            world.sleep(1 + 7 * self._process.random.random())
        if line and kind != "watch_never" and not self.is_over:
            yield line
            if kind == "watch_twice":
                yield line


def _quietly(act: Callable[[], bytes]) -> None:
    try:
        act()
    except StatusError:
        return


def _error(doing: str, error: StatusError) -> KubeError:
    body = json.dumps(error.body()).encode()
    return error_of_answer(doing, status=error.code, headers=error.headers, body=body)
