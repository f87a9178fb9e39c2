"""Containers as awaitable objects: the sandbox's side of the connection to the runtime process."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_executor.errors import HybridError
from hybrid_executor.sandbox import runtime

LINE_LIMIT_BYTES = 1 << 20


class ContainerStartError(HybridError):
    """The command of a container could not be run."""


@dataclass(frozen=True)
class Launch:
    """What to run.

    :ivar id: unlike any other's.
    :ivar log: the file that gets all output.
    :ivar has_input: its standard input can be written to; without it, there is nothing to read.
    """

    id: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    has_input: bool = False


class Container:
    """One running process tree.

    :ivar exit_code: resolves once the main process has ended; 128 + n where signal n ended it.
    """

    def __init__(self, containers: Containers, container_id: str, exit_code: asyncio.Future[int]) -> None:
        self._containers = containers
        self._id = container_id
        self.exit_code = exit_code

    def signal(self, number: int) -> None:
        """Send a signal to the main process; nothing happens if it has ended."""
        self._containers.send({"do": "signal", "id": self._id, "signal": int(number)})

    def write(self, data: bytes) -> None:
        """Write to the standard input; nothing happens if the container has none, or if that has ended."""
        self._containers.send({"do": "input", "id": self._id, "data": base64.b64encode(data).decode()})

    def end_input(self) -> None:
        """End the standard input."""
        self._containers.send({"do": "end_input", "id": self._id})


class Containers:
    """Starts containers in a runtime process of its own. Used in one event loop.

    :param directory: the sandbox's files; the runtime process removes them when it ends.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._started: dict[str, asyncio.Future[None]] = {}
        self._exited: dict[str, asyncio.Future[int]] = {}

    @property
    def runtime_pid(self) -> int:
        """The process id of the runtime, 0 before :meth:`open`."""
        return self._process.pid if self._process else 0

    async def open(self) -> None:
        """Start the runtime process."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-I", "-S", str(Path(runtime.__file__)), str(self._directory)]
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), start_new_session=True)  # noqa: ASYNC220
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT_BYTES)
        self._reader_task = asyncio.create_task(self._read(reader))

    async def close(self) -> None:
        """End the runtime process, and with it every process of every container. May be called again."""
        if self._writer is None or self._process is None or self._reader_task is None:
            return
        self._writer.close()
        self._reader_task.cancel()
        await asyncio.gather(self._reader_task, return_exceptions=True)
        await asyncio.to_thread(self._process.wait)
        self._writer = None

    async def run(self, launch: Launch) -> Container:
        """Start a container and return it once its command runs.

        :raises ContainerStartError: it does not.
        """
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        exited: asyncio.Future[int] = loop.create_future()
        self._started[launch.id], self._exited[launch.id] = started, exited
        self.send(
            {
                "do": "start",
                "id": launch.id,
                "command": launch.command,
                "environment": dict(launch.environment),
                "directory": str(launch.directory),
                "log": str(launch.log),
                "has_input": launch.has_input,
            }
        )
        try:
            await started
        except ContainerStartError:
            del self._exited[launch.id]
            raise
        except asyncio.CancelledError:
            self.send({"do": "signal", "id": launch.id, "signal": int(signal.SIGKILL)})
            raise
        finally:
            del self._started[launch.id]
        return Container(self, launch.id, exited)

    def send(self, order: Mapping[str, Any]) -> None:
        """Send an order to the runtime; after :meth:`close` nothing happens."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(order).encode() + b"\n")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            if event["what"] == "exited":
                self._exited.pop(event["id"]).set_result(event["code"])
                continue
            started = self._started.get(event["id"])
            if started is None or started.done():
                continue
            if event["what"] == "failed":
                started.set_exception(ContainerStartError(event["message"]))
            else:
                started.set_result(None)
        for waiting in self._started.values():
            waiting.set_exception(ContainerStartError("the sandbox's container runtime is gone"))
        for running in self._exited.values():
            running.set_result(128 + signal.SIGKILL)
        self._exited.clear()
