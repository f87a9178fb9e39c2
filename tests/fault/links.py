"""TCP connections between parts of a deployment that can be cut, held up, slowed down, and led to another server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
_CHUNK_BYTES = 65536


class Network:
    """The thread that forwards for all links. A context manager: leaving it cuts all connections."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            self.run(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def link(self, target: int) -> Link:
        """Return a new link to a port of this machine."""
        link = Link(self, target)
        self.run(link.open())
        self._links.append(link)
        return link

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the network's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Link:
    """One port that leads to another one. Methods may be called from any thread but the network's own.

    :ivar port: the port to connect to.
    """

    def __init__(self, network: Network, target: int) -> None:
        self.port = 0
        self._network = network
        self._target = target
        self._delay_seconds = 0.0
        self._is_cut = False
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End all connections, and new ones as soon as they are made, until :meth:`mend`."""
        self._network.run(self._change(lambda: setattr(self, "_is_cut", True), ends=True))

    def hold(self) -> None:
        """Let connections stay open and carry nothing, until :meth:`mend`."""
        self._network.run(self._change(self._goes_on.clear))

    def slow(self, seconds: float) -> None:
        """Let every byte arrive later, each way, until :meth:`mend`."""
        self._network.run(self._change(lambda: setattr(self, "_delay_seconds", seconds)))

    def drop_connections(self) -> None:
        """End all connections; new ones work."""
        self._network.run(self._change(lambda: None, ends=True))

    def lead_to(self, target: int) -> None:
        """Lead to another port from now on; present connections end."""
        self._network.run(self._change(lambda: setattr(self, "_target", target), ends=True))

    def mend(self) -> None:
        """Carry everything again."""

        def undo() -> None:
            self._is_cut, self._delay_seconds = False, 0.0
            self._goes_on.set()

        self._network.run(self._change(undo))

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more."""
        self._server.close()
        await self._end_connections()

    async def _change(self, change: Callable[[], object], *, ends: bool = False) -> None:
        change()
        if ends:
            await self._end_connections()

    async def _end_connections(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._is_cut:
                raise ConnectionError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.get_running_loop().create_task(self._forward(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await source.read(_CHUNK_BYTES):
                    await self._goes_on.wait()
                    if self._delay_seconds:
                        await asyncio.sleep(self._delay_seconds)
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()
