"""An ASGI middleware that puts the reason of a failed attempt at the top of its log page.

Airflow asks executors only for the logs of running tasks. So without this middleware, the log page of an attempt that
failed before its task could write a log, or that was killed, does not show the reason. The reason is read from the
audit log in Airflow's database; no shared folder and no remote log is needed.

Only successful answers to the first request for a log are changed. If the reason cannot be read, the answer is not
changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from hybrid_executor.plugin.audit_log import Attempt, Ending, read_ending

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_PATH = re.compile(
    r"/api/v2/dags/(?P<dag_id>[^/]+)/dagRuns/(?P<run_id>[^/]+)/taskInstances/(?P<task_id>[^/]+)/logs/(?P<number>\d+)$"
)
_GROUP, _END_OF_GROUP = "::group::", "::endgroup::"


class ReasonFirst:
    """Puts the reason of a failed attempt before its log.

    :param read: returns how an attempt ended, or ``None``; it may block and may raise.
    """

    def __init__(self, app: App, read: Callable[[Attempt], Ending | None] = read_ending) -> None:
        self._app = app
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        attempt = asked_attempt(scope)
        if attempt is None:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _Answer(send, lambda: self._read(attempt)).send)


def asked_attempt(scope: Scope) -> Attempt | None:
    """Return the attempt whose log is requested; ``None`` for other requests and for later parts of a long log."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    found = _PATH.search(scope["path"])
    if found is None:
        return None
    query = parse_qs(scope["query_string"].decode("latin-1"))
    map_index = query.get("map_index", ["-1"])[0]
    if query.get("token", [""])[0] or not map_index.lstrip("-").isdigit():
        return None
    return Attempt(
        dag_id=found["dag_id"],
        run_id=found["run_id"],
        task_id=found["task_id"],
        map_index=int(map_index),
        try_number=int(found["number"]),
    )


class _Answer:
    """One answer. Its start waits until the reason has been read."""

    def __init__(self, send: Send, read: Callable[[], Ending | None]) -> None:
        self._send = send
        self._read = read
        self._rewrite: _Lines | _Document | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._rewrite = await self._choose(message)
            if self._rewrite is None:
                await self._send(message)
            else:
                kept = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
                await self._send({**message, "headers": kept})
        elif message["type"] == "http.response.body" and self._rewrite is not None:
            more = bool(message.get("more_body"))
            body = self._rewrite.feed(message.get("body", b""), is_last=not more)
            if body or not more:
                await self._send({**message, "body": body})
        else:
            await self._send(message)

    async def _choose(self, start: Message) -> _Lines | _Document | None:
        headers = {name.lower(): value for name, value in start["headers"]}
        if start["status"] != 200 or b"content-encoding" in headers:
            return None
        content_type = headers.get(b"content-type", b"").split(b";")[0].strip()
        if content_type not in (b"application/json", b"application/x-ndjson"):
            return None
        try:
            ending = await asyncio.to_thread(self._read)
        except Exception:  # noqa: BLE001 - a log without the reason is better than no log
            log.exception("The reason of a failed attempt could not be read; its log page does not show it")
            return None
        if ending is None:
            return None
        return _Document(ending) if content_type == b"application/json" else _Lines(ending)


@dataclass
class _Document:
    """A log as one JSON document."""

    ending: Ending
    held: bytes = b""

    def feed(self, body: bytes, *, is_last: bool) -> bytes:
        self.held += body
        if not is_last:
            return b""
        try:
            document = json.loads(self.held)
            rest = document["content"]
            if not self.ending.has_started:
                rest = list(without_sources(rest, lambda line: str(line.get("event", ""))))
            document["content"] = [*entries(self.ending), *rest]
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.held
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class _Lines:
    """A log as lines of JSON, which are sent as they arrive."""

    ending: Ending
    held: bytes = b""
    is_begun: bool = False

    def feed(self, body: bytes, *, is_last: bool) -> bytes:
        first = b"" if self.is_begun else b"".join(json.dumps(entry).encode() + b"\n" for entry in entries(self.ending))
        self.is_begun = True
        if self.ending.has_started:
            return first + body
        # The log of a task that never ran is short.
        self.held += body
        if not is_last:
            return first
        return first + b"".join(without_sources(self.held.splitlines(keepends=True), _event_of))


def entries(ending: Ending) -> list[dict[str, Any]]:
    """Return the texts about an attempt's end as log entries, one for each line."""
    return [
        {"timestamp": said.at, "event": line, "level": said.level, "logger": "hybrid_executor"}
        for said in ending.words
        for line in said.text.splitlines() or [""]
    ]


def without_sources(lines: Iterable[Any], event_of: Callable[[Any], str]) -> Iterator[Any]:
    """Yield a log without its first group: the places where Airflow has looked for the log of a task that never ran."""
    inside = None
    for line in lines:
        event = event_of(line)
        if inside is None:
            inside = event.startswith(_GROUP)
        if not inside:
            yield line
        elif event == _END_OF_GROUP:
            inside = False


def _event_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return ""
