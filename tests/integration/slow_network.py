"""A TCP proxy that delays every byte, as a network between two places does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class SlowNetwork:
    """Forwards one loopback port to another, each way later by ``delay_seconds``; bytes keep their pace.

    ``with SlowNetwork(port, delay_seconds=0.002) as port_of_the_proxy: ...``
    """

    def __init__(self, port: int, *, delay_seconds: float) -> None:
        self._target = port
        self._delay_seconds = delay_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow network")
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> int:
        """Start; return the port to connect to."""
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._connect, "127.0.0.1", 0))
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        """Cut all connections and stop."""
        self._server.close()
        self._run(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: object) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _cut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(self._loop.create_task(self._forward(source, sink)))

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await source.read(65536):
                    self._loop.call_later(self._delay_seconds, sink.write, data)
                await asyncio.sleep(self._delay_seconds * 2)
        finally:
            sink.close()
