"""The open connections of the server, so that they can be cut like in a network failure, without a closing message."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)
log.setLevel(logging.WARNING)

Peer = tuple[str, int]
"""A client's address and port, as ASGI scopes name it."""


class Connections:
    """All connections that are open. Used in the event loop only."""

    def __init__(self) -> None:
        self._transports: dict[Peer, asyncio.Transport] = {}
        self._watching: set[Peer] = set()
        self._attached: set[Peer] = set()

    def websocket_class(self) -> type[asyncio.Protocol]:
        """Return uvicorn's WebSocket protocol, which takes a connection over from that of :meth:`protocol_class`."""
        connections = self

        class Recorded(WebSocketsSansIOProtocol):
            """Notes when a connection closes; all else is uvicorn's. Logs no line for each attachment.

            A connection that is cut before it is accepted is gone: uvicorn would go on with it as if it were open, and
            answer it twice, which ends the server.
            """

            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                self.logger = log

            async def send(self, message: Any) -> None:
                if self.transport.is_closing():
                    raise ClientDisconnected
                await super().send(message)
                if self.close_sent:
                    self.handshake_complete = True  # a refusal, of which uvicorn would complain at the end

            def shutdown(self) -> None:
                if not self.transport.is_closing():
                    super().shutdown()

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    connections.closed(self.client)
                super().connection_lost(exc)

        return Recorded

    def protocol_class(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, made to keep this record."""
        connections = self

        class Recorded(asyncio.Protocol):
            """Notes when a connection opens and closes; all else is uvicorn's."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.peer: Peer = transport.get_extra_info("peername")[:2]
                connections.opened(self.peer, transport)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.closed(self.peer)
                super().connection_lost(exc)

        return type("RecordedHTTPProtocol", (Recorded, AutoHTTPProtocol), {})

    def opened(self, peer: Peer, transport: Any) -> None:
        """Note a new connection."""
        self._transports[peer] = transport

    def closed(self, peer: Peer) -> None:
        """Forget a connection."""
        self._transports.pop(peer, None)
        self._watching.discard(peer)
        self._attached.discard(peer)

    def attached(self, peer: Peer) -> None:
        """Note that a connection is attached to a container."""
        self._attached.add(peer)

    def detached(self, peer: Peer) -> None:
        """Note that a connection is not attached any more."""
        self._attached.discard(peer)

    def watching(self, peer: Peer) -> None:
        """Note that a connection carries a watch (connections that have carried one are not used for much else)."""
        self._watching.add(peer)

    def watched(self, peer: Peer) -> None:
        """Note that a connection's watch is over."""
        self._watching.discard(peer)

    def cut(self, peer: Peer) -> None:
        """Cut one connection; what was not yet sent is lost."""
        transport = self._transports.get(peer)
        if transport is not None:
            transport.abort()

    def cut_watches(self) -> int:
        """Cut every connection that carries a watch; return how many."""
        peers = list(self._watching)
        for peer in peers:
            self.cut(peer)
        return len(peers)

    def cut_attachments(self) -> int:
        """Cut every connection that is attached to a container; return how many."""
        peers = list(self._attached)
        for peer in peers:
            self.cut(peer)
        return len(peers)

    def cut_all(self) -> None:
        """Cut every connection."""
        for peer in list(self._transports):
            self.cut(peer)
