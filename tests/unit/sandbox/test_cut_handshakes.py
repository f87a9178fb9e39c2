"""A connection of an attachment that is cut before it is accepted: the server goes on."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.listener import LOOPBACK, Listener, bind

_UPGRADE = (
    b"GET /attach HTTP/1.1\r\nHost: sandbox\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def _run(bound: socket.socket) -> list[str]:
    """Cut a connection in the middle of its handshake; return how that ended, and the status of the next request."""
    connections, seen = Connections(), asyncio.Queue[str]()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return
        await receive()
        connections.cut((scope["client"][0], scope["client"][1]))
        assert listener._server is not None
        try:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "bytes": b"x"})
        except OSError as error:
            for connection in list(listener._server.server_state.connections):
                connection.shutdown()
            seen.put_nowait(type(error).__name__)
            raise

    listener = Listener(application, connections, bound)
    serving = asyncio.create_task(listener.serve())
    await listener.wait_until_ready()
    port = bound.getsockname()[1]
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(_UPGRADE)
    found = [await seen.get()]
    reader, second = await asyncio.open_connection(LOOPBACK, port)
    second.write(b"GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n")
    found.append((await reader.readline()).decode().strip())
    for one in (writer, second):
        one.close()
    listener.stop()
    await serving
    return found


def test_a_connection_that_is_cut_before_it_is_accepted_ends_alone() -> None:
    assert asyncio.run(_run(bind(0))) == ["ClientDisconnected", "HTTP/1.1 200 OK"]
