"""The seam for tests: they may change what happens to requests, and reach the parts of a running sandbox.

A sandbox without tests uses :class:`Interference` as it is, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.kubelet import Kubelet
from hybrid_executor.sandbox.request_info import RequestInfo
from hybrid_executor.sandbox.watching import WatchSwitch


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a running sandbox. Use them in its event loop only.

    :ivar kubelet: ``None`` where the sandbox runs no pods.
    :ivar restart: stops serving, and serves again after so many seconds.
    """

    cluster: Cluster
    switch: WatchSwitch
    connections: Connections
    kubelet: Kubelet | None
    restart: Callable[[float], None]


class Interference:
    """What happens to requests between the check of the token and the API."""

    def attach(self, parts: Parts) -> None:
        """Take the sandbox's parts; called once, before the first request."""

    def is_denied(self, *, verb: str, resource: str, namespace: str) -> bool:
        """Return whether the token's user lacks this right; called for every request and access review."""
        return False

    async def serve(self, app: ASGIApp, info: RequestInfo, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that carries the token.

        :raises StatusError: the gate answers with it.
        """
        await app(scope, receive, send)
