"""The container runtime: a small process that starts, signals and ends all processes of all pods.

It is run as a script, by its path, and imports only the standard library. Its standard input is a socket: JSON lines in
(``start``, ``signal``, ``input``, ``end_input``), JSON lines out (``started``, ``failed``, ``exited``). It makes sure
that all pods end with the sandbox: when the socket closes or its parent has died, it kills all its descendants,
including those that left their session, removes the sandbox's files, and ends. The main process of a container leads a
new session. When it ends, the other processes of its container are killed, like after the end of PID 1 in a real
container.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CHECK_PARENT_SECONDS = 1.0
CONTAINER_VARIABLE = "HYBRID_SANDBOX_CONTAINER"
"""Marks the environment of each process of a container with the container's id."""


def adopt_orphans() -> None:
    """Make processes whose parent has ended children of this process (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, which has one thread only (Linux)."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def children() -> list[int]:
    """Return the ids of this process' children (Linux; elsewhere none)."""
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []


def _why(error: Exception) -> str:
    """Return the words of a container runtime for a command that cannot be run."""
    if isinstance(error, FileNotFoundError):
        return "executable file not found in $PATH: unknown"
    if isinstance(error, PermissionError):
        return "permission denied: unknown"
    return str(error)


def kill(pid: int, signal_number: int, *, group: bool = False) -> None:
    """Send a signal; a process that is gone is no error."""
    try:
        if group:
            os.killpg(pid, signal_number)
        else:
            os.kill(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        return


class Input:
    """A container's standard input. What the container does not read yet is kept, so that no writer ever waits."""

    def __init__(self, writer: int, selector: selectors.BaseSelector) -> None:
        self._writer = writer
        self._selector = selector
        self._rest = b""
        self._is_ending = self._is_closed = self._is_waiting = False
        os.set_blocking(writer, False)

    def write(self, data: bytes) -> None:
        """Hand in more; nothing happens once the input has ended."""
        if not self._is_ending:
            self._rest += data
            self.flush()

    def end(self) -> None:
        """End the input after what was handed in."""
        self._is_ending = True
        self.flush()

    def flush(self) -> None:
        """Write as much as the container takes now."""
        if self._is_closed:
            return
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._writer, self._rest) :]
        except BlockingIOError:
            if not self._is_waiting:
                self._selector.register(self._writer, selectors.EVENT_WRITE, self)
                self._is_waiting = True
            return
        except BrokenPipeError:
            self._rest = b""
        if self._is_waiting:
            self._selector.unregister(self._writer)
            self._is_waiting = False
        if self._is_ending:
            self.close()

    def close(self) -> None:
        """End the input now."""
        if self._is_closed:
            return
        if self._is_waiting:
            self._selector.unregister(self._writer)
        self._is_ending = self._is_closed = True
        os.close(self._writer)


class Runtime:
    """Runs containers for the process at the other end of the socket."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._parent = os.getppid()
        self._pids: dict[str, int] = {}
        self._containers: dict[int, str] = {}
        self._ended: dict[str, int] = {}
        self._inputs: dict[str, Input] = {}
        self._selector = selectors.DefaultSelector()
        self._received = b""

    def serve(self) -> None:
        """Obey requests until the socket closes or the parent has died; then kill everything."""
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        selector = self._selector
        selector.register(self._peer, selectors.EVENT_READ)
        selector.register(wake_reader, selectors.EVENT_READ)
        is_wanted = True
        while is_wanted and os.getppid() == self._parent:
            for key, _ in selector.select(CHECK_PARENT_SECONDS):
                if key.fileobj == wake_reader:
                    os.read(wake_reader, 4096)
                    self._reap()
                elif isinstance(key.data, Input):
                    key.data.flush()
                else:
                    is_wanted = self._receive()

    def end_all(self) -> None:
        """Kill every descendant and wait for each."""
        while True:
            for pid in self._containers:
                kill(pid, signal.SIGKILL, group=True)
            for pid in children():
                kill(pid, signal.SIGKILL)
            try:
                pid, _ = os.wait()
            except ChildProcessError:
                return
            self._containers.pop(pid, None)

    def _receive(self) -> bool:
        try:
            data = self._peer.recv(1 << 16)
        except ConnectionError:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "start":
            self._start(order)
        elif order["do"] == "input":
            if order["id"] in self._inputs:
                self._inputs[order["id"]].write(base64.b64decode(order["data"]))
        elif order["do"] == "end_input":
            if order["id"] in self._inputs:
                self._inputs[order["id"]].end()
        elif order["id"] in self._pids:
            kill(self._pids[order["id"]], order["signal"])

    def _start(self, order: dict[str, Any]) -> None:
        environment = {**order["environment"], CONTAINER_VARIABLE: order["id"]}
        reader, writer = os.pipe() if order["has_input"] else (subprocess.DEVNULL, -1)
        try:
            with open(order["log"], "ab") as log:
                process = subprocess.Popen(  # noqa: S603
                    order["command"],
                    cwd=order["directory"],
                    env=environment,
                    stdin=reader,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        except (OSError, ValueError) as error:
            if writer >= 0:
                os.close(writer)
            self._tell(id=order["id"], what="failed", message=_why(error))
            return
        finally:
            if writer >= 0:
                os.close(reader)
        if writer >= 0:
            self._inputs[order["id"]] = Input(writer, self._selector)
        # Reaped by _reap() with all others; the object must not try to.
        process.returncode = 0
        self._pids[order["id"]] = process.pid
        self._containers[process.pid] = order["id"]
        self._tell(id=order["id"], what="started", pid=process.pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            container = self._containers.pop(pid, None)
            if container is not None:
                kill(pid, signal.SIGKILL, group=True)
                del self._pids[container]
                if container in self._inputs:
                    self._inputs.pop(container).close()
                self._ended[container] = pid
                code = os.waitstatus_to_exitcode(wait_status)
                self._tell(id=container, what="exited", code=code if code >= 0 else 128 - code)
        self._kill_leftovers()

    def _kill_leftovers(self) -> None:
        """Kill the orphans of containers that have ended; those of running ones go on."""
        orphans = [pid for pid in children() if pid not in self._containers]
        for pid in orphans:
            if self._belongs_to_an_ended_container(pid):
                kill(pid, signal.SIGKILL)
        if not orphans:
            self._ended.clear()

    def _belongs_to_an_ended_container(self, pid: int) -> bool:
        """Tell by the session, and by the environment of those that have left it (it may be overwritten by titles)."""
        try:
            if os.getsid(pid) in self._ended.values():
                return True
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        prefix = f"{CONTAINER_VARIABLE}=".encode()
        marks = [entry[len(prefix) :].decode() for entry in environment if entry.startswith(prefix)]
        return any(mark in self._ended for mark in marks)

    def _tell(self, **event: Any) -> None:
        try:
            self._peer.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            return


def main() -> None:
    """Serve the socket that is the standard input; at the end, remove the directory that is the argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    adopt_orphans()
    runtime = Runtime(socket.socket(fileno=os.dup(0)))
    try:
        runtime.serve()
    finally:
        runtime.end_all()
        shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
