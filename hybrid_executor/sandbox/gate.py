"""Checks each request (token and rights) before it reaches the API, and turns refusals into answers."""

from __future__ import annotations

import hmac
from dataclasses import replace

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from hybrid_executor.sandbox.answers import refusal
from hybrid_executor.sandbox.interference import Interference
from hybrid_executor.sandbox.request_info import PUBLIC_PATHS, RequestInfo, access_denied, request_info
from hybrid_executor.sandbox.status import StatusError, unauthorized

USER = "system:serviceaccount:default:hybrid-sandbox"
"""Whom the server's token belongs to."""

ANONYMOUS = "system:anonymous"


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, token: str, interference: Interference) -> None:
        self._app = app
        self._token = token
        self._interference = interference

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            return
        info = request_info(scope.get("method", "GET"), scope["path"], QueryParams(scope["query_string"]))
        try:
            self._authorize(info, Headers(scope=scope).get("authorization", ""))
            if scope["type"] == "websocket":
                self._require(replace(info, verb="create"))  # since Kubernetes 1.35, besides "get"
            await self._interference.serve(self._app, info, scope, receive, send)
        except StatusError as error:
            await refusal(error)(scope, receive, send)

    def _authorize(self, info: RequestInfo, header: str) -> None:
        if info.path in PUBLIC_PATHS:
            return
        scheme, _, token = header.partition(" ")
        if not header:
            raise access_denied(info, ANONYMOUS)
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token.encode()):
            raise unauthorized()
        self._require(info)

    def _require(self, info: RequestInfo) -> None:
        if self._interference.is_denied(verb=info.verb, resource=info.full_resource, namespace=info.namespace):
            raise access_denied(info, USER)
