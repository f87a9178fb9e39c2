"""The Lua of a Redis in memory. One interpreter serves all servers, and each script is compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from lupa.lua51 import LuaRuntime, lua_type

from tests.simulation.redis_streams import ReplyError
from tests.simulation.redis_text import text_of

_OWN = re.compile(r"^local \w+ = .*\b(?:KEYS|ARGV)\b.*$", re.MULTILINE)
"""Where the lines begin that are of one run; what stands before them only names things."""


class Server(Protocol):
    """What a script may ask of its server."""

    def call(self, name: str, arguments: list[str]) -> Any:
        """Run one command."""


class Lua:
    """One interpreter for all servers; scripts are compiled once."""

    def __init__(self) -> None:
        self._runtime: Any = LuaRuntime(register_eval=False)
        self._compiled: dict[str, Any] = {}
        self._server: Server | None = None
        table = self._runtime.table_from
        self._runtime.globals().redis = table({"call": self._call, "pcall": self._pcall})
        self._runtime.globals().cjson = table({"decode": self._decode, "encode": self._encode})

    def run(self, server: Server, digest: str, source: str, keys: Sequence[str], texts: Sequence[str]) -> Any:
        """Run a script on a server."""
        function = self._compiled.get(digest)
        if function is None:
            begin = _OWN.search(source)
            shared, own = (source[: begin.start()], source[begin.start() :]) if begin else ("", source)
            text = f"{shared}\nreturn function(KEYS, ARGV) {own}\nend"
            function = self._compiled[digest] = self._runtime.execute(text)
        self._server = server
        try:
            return self._to_reply(function(self._runtime.table_from(keys), self._runtime.table_from(texts)))
        except ReplyError:
            raise
        except Exception as error:
            # What a script raises itself: the text of an error reply that it has passed on.
            raise ReplyError(str(error)) from error

    def _call(self, name: str, *arguments: Any) -> Any:
        assert self._server is not None
        texts = [value if type(value) is str else text_of(value) for value in arguments]
        if name in ("XINFO", "XGROUP"):
            name, texts = f"{name} {texts[0]}", texts[1:]
        return self._from_reply(self._server.call(name, texts))

    def _pcall(self, name: str, *arguments: Any) -> Any:
        try:
            return self._call(name, *arguments)
        except ReplyError as error:
            return self._runtime.table_from({"err": str(error)})

    def _from_reply(self, reply: Any) -> Any:
        if type(reply) is list:
            return self._runtime.table_from([item if type(item) is str else self._from_reply(item) for item in reply])
        return False if reply is None else reply

    def _to_reply(self, value: Any) -> Any:
        if type(value) is str or type(value) is int:
            return value
        if lua_type(value) == "table":
            items: list[Any] = []
            while (item := value[len(items) + 1]) is not None:
                items.append(self._to_reply(item))
            return items
        if isinstance(value, bool):
            return 1 if value else None
        return int(value) if isinstance(value, float) else value

    def _decode(self, text: str) -> Any:
        return self._runtime.table_from(json.loads(text), recursive=True)

    def _encode(self, value: Any) -> str:
        return json.dumps(self._plain(value))

    def _plain(self, value: Any) -> Any:
        if lua_type(value) != "table":
            return value
        items = dict(value.items())
        if all(isinstance(key, int) for key in items):
            return [self._plain(items[key]) for key in sorted(items)]
        return {str(key): self._plain(item) for key, item in items.items()}


LUA = Lua()
