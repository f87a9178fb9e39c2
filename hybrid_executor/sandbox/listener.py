"""The HTTP server on 127.0.0.1, which can stop serving for some time and continue."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from hybrid_executor.sandbox.connections import Connections

LOOPBACK = "127.0.0.1"
KEEP_ALIVE_SECONDS = 90
BACKLOG = 4096


def bind(port: int) -> socket.socket:
    """Return a socket bound to the port (0: any free one) of the loopback address, and of no other."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound


class _Server(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


class Listener:
    """Serves an application until told to stop, with pauses. Used in one event loop.

    :param bound: the first socket to serve; the port stays the same for good.
    """

    def __init__(self, application: ASGIApp, connections: Connections, bound: socket.socket) -> None:
        self._application = application
        self._connections = connections
        self._bound = bound
        self._port: int = bound.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._pause_seconds = 0.0
        self._stopped = asyncio.Event()
        self._ready = asyncio.Event()

    async def wait_until_ready(self) -> None:
        """Return once requests are answered."""
        await self._ready.wait()

    async def serve(self) -> None:
        """Serve until :meth:`stop`."""
        bound = self._bound
        while not self._stopped.is_set():
            await self._serve_once(bound)
            if self._stopped.is_set():
                return
            try:
                await asyncio.wait_for(self._stopped.wait(), self._pause_seconds)
            except asyncio.TimeoutError:
                bound = bind(self._port)

    def restart(self, down_seconds: float) -> None:
        """Refuse and cut all connections, and serve again after so many seconds."""
        self._pause_seconds = down_seconds
        self._leave()

    def stop(self) -> None:
        """Cut all connections and end :meth:`serve`; also while it pauses."""
        self._stopped.set()
        self._leave()

    async def _serve_once(self, bound: socket.socket) -> None:
        config = uvicorn.Config(
            self._application,
            http=self._connections.protocol_class(),
            ws=self._connections.websocket_class(),
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._server = _Server(config, self._ready)
        await self._server.serve(sockets=[bound])

    def _leave(self) -> None:
        if self._server is not None:
            self._connections.cut_all()
            self._server.should_exit = True
            self._server.force_exit = True
