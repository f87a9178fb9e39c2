"""A model of the program in a pod that gets its workload by its standard input, and of an attachment to it.

As ``agent/warm/program.py`` and a kubelet with ``stdinOnce``: one line is read and never a second one, and the end of
the first attachment closes the standard input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.threads import Places

if TYPE_CHECKING:
    from tests.simulation.kube_server import KubeServer
    from tests.simulation.world import World


class PodProgram:
    """One container with this program.

    :ivar printed: its lines, without the line ends.
    :ivar is_waiting: it has not accepted a workload. A signal to end then ends it with the exit code for that.
    :ivar has_ended: nothing is read or printed any more.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._places = Places(world)
        self._line: str | None = None
        self._is_closed = self._was_attached = False
        self.printed: list[str] = []
        self.is_waiting = True
        self.has_ended = False

    # ---- the program ----

    def say(self, words: str) -> None:
        """Print a line."""
        self.printed.append(f"hybrid-executor: {words}")
        self._places.wake()

    def read_line(self, seconds: float) -> str | None:
        """Wait for a line; return None where there will be none, or none has come in time."""
        until = self._world.now + seconds
        while self._line is None and not self._is_closed and (left := until - self._world.now) > 0:
            self._places.wait(left)
        line, self._line = self._line, None
        self._is_closed = True
        return line

    def end(self) -> None:
        """Note that its container has ended."""
        self.has_ended = True
        self._places.wake()

    # ---- who is attached to it ----

    def attach(self) -> bool:
        """Begin an attachment; return whether there is something to write to."""
        is_first, self._was_attached = not self._was_attached, True
        return is_first and not self.has_ended

    def write(self, line: str) -> None:
        """Let a line arrive."""
        if not self._is_closed:
            self._line = line
            self._places.wake()

    def detach(self) -> None:
        """End the attachment."""
        self._is_closed = True
        self._places.wake()

    def wait(self, seconds: float) -> None:
        """Wait until it prints or ends."""
        self._places.wait(seconds)


class Attachment:
    """One attachment to a pod.

    :ivar program: what reads there; None for nothing.
    """

    def __init__(self, server: KubeServer, namespace: str, name: str) -> None:
        self._server = server
        self._pod = namespace, name
        self._is_over = False
        self.program: PodProgram | None = None

    def open(self) -> bytes:
        """Attach."""
        self.program = self._server.attach(*self._pod)
        if self._is_over:  # the client has given up already
            self.close()
        return b""

    def write(self, line: str) -> None:
        """Let a line arrive."""
        if self.program is not None:
            self.program.write(line)

    def deliver(self, line: str) -> None:
        """Let a line arrive, and the end of the attachment after it."""
        self.write(line)
        self.close()

    def close(self) -> None:
        """End it."""
        self._is_over = True
        if self.program is not None:
            self.program.detach()
