"""What stands before the API: who asks, may they, does a scripted fault strike; and how refusals become answers."""

from __future__ import annotations

import asyncio
import hmac

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hybrid_executor.sandbox.answers import refusal, too_many_requests
from hybrid_executor.sandbox.connections import Connections
from hybrid_executor.sandbox.fault_rules import Fault, FaultRules
from hybrid_executor.sandbox.request_info import PUBLIC_PATHS, RequestInfo, access_denied, request_info
from hybrid_executor.sandbox.status import StatusError, unauthorized
from hybrid_executor.sandbox.watching import error_line

USER = "system:serviceaccount:default:hybrid-sandbox"
"""Whom the server's token belongs to."""

ANONYMOUS = "system:anonymous"

SCRIPT_PATHS = "/sandbox/"
"""Paths of the sandbox itself: they need the token, and no fault strikes them."""


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, token: str, rules: FaultRules, connections: Connections) -> None:
        self._app = app
        self._token = token
        self._rules = rules
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        info = request_info(scope["method"], scope["path"], QueryParams(scope["query_string"]))
        try:
            self._authorize(info, Headers(scope=scope).get("authorization", ""))
            faults = [] if info.path.startswith(SCRIPT_PATHS) else self._rules.strike(info)
            if await self._strike(faults, info, scope, receive, send):
                return
            await self._app(scope, receive, send)
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
        if self._rules.is_denied(verb=info.verb, resource=info.full_resource, namespace=info.namespace):
            raise access_denied(info, USER)

    async def _strike(self, faults: list[Fault], info: RequestInfo, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let the faults happen; return whether the request is done with."""
        for fault in faults:
            if fault.action == "slow":
                await asyncio.sleep(fault.delay_seconds)
            elif fault.action == "drop":
                await self._cut(scope, receive)
                return True
            elif fault.action == "lose_reply":
                await self._handle_silently(scope, receive)
                await self._cut(scope, receive)
                return True
            else:
                await _status_answer(fault, info)(scope, receive, send)
                return True
        return False

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        self._connections.cut(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            continue

    async def _handle_silently(self, scope: Scope, receive: Receive) -> None:
        async def discard(_: Message) -> None:
            return

        try:
            await self._app(scope, receive, discard)
        except StatusError:
            return


def _status_answer(fault: Fault, info: RequestInfo) -> Response:
    if fault.code == 429:
        return too_many_requests(1 if fault.retry_after_seconds is None else fault.retry_after_seconds)
    if fault.as_event and info.verb == "watch":
        return StreamingResponse(iter([error_line(fault.as_status())]), media_type="application/json")
    return refusal(fault.as_status())
