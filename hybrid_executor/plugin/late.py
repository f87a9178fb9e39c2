"""An ASGI app that is imported when it is first asked for something."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any, cast

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LateApp:
    """Makes its app at the first request, in a thread, so that other requests do not wait for the import.

    If that fails, the request gets the error, and the next one tries again.

    :param factory: the function that returns the app, as ``module:function``.
    """

    def __init__(self, factory: str) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._app
        if app is None:
            app = await asyncio.to_thread(self._make)
        await app(scope, receive, send)

    def _make(self) -> App:
        with self._lock:
            app = self._app
            if app is None:
                module, _, function = self._factory.partition(":")
                app = self._app = cast("App", getattr(import_module(module), function)())
            return app
