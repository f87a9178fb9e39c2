"""A Redis in memory that runs the store's Lua. Its clock is virtual, and older data can be put back.

It has the commands that the store, its scripts and a Celery broker use, and no others. ``tests/contract`` runs the
tests of the store on it as on a real server.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from lupa.lua51 import LuaRuntime, lua_type

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
_WRITES = frozenset(
    "SET DEL HSET HSETNX HDEL SADD SREM LPUSH RPUSH LREM LTRIM RPOP XADD XDEL XACK XGROUP ZADD ZREM ZREMRANGEBYSCORE "
    "EXPIRE PEXPIRE FLUSHALL".split()
)
_REFUSALS = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
}


class ReplyError(Exception):
    """An error reply; its text begins with the code."""


class SortedSet(dict[str, float]):
    """Members and their scores."""


class Stream:
    """Entries in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[tuple[int, int], list[str]]] = []
        self.last = (0, 0)

    def __len__(self) -> int:
        return len(self.entries)


class OrderedSet(dict[str, None]):
    """Members in the order in which they came, so that nothing depends on the hash of a text."""


class RedisServer:
    """One server.

    :param clock: returns seconds since the epoch.
    :ivar on_write: is called with each key after a command has changed it.
    :ivar after_run: is called after commands that were sent together; a script is done as a whole by then.
    :ivar refusal: the code with which writes are refused, or all commands where it is LOADING; "" for none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._scripts: dict[str, str] = {}
        self._data: dict[str, Any] = {}
        self._expires: dict[str, float] = {}
        self.refusal = ""
        self.replication_id = f"{1:040x}"
        self.on_write: Callable[[str], None] = lambda _: None
        self.after_run: Callable[[], None] = lambda: None

    def run(self, commands: Sequence[Sequence[Any]], *, refusal: str = "") -> list[Any]:
        """Run commands in order; an error of one is its answer."""
        self.refusal = refusal
        answers: list[Any] = []
        for name, *arguments in commands:
            try:
                answers.append(self.call(str(name).upper(), [_text(value) for value in arguments]))
            except ReplyError as error:
                answers.append(error)
        self.refusal = ""
        self.after_run()
        return answers

    def call(self, name: str, arguments: list[str]) -> Any:
        """Run one command."""
        if self.refusal == "LOADING" or (self.refusal and name in _WRITES):
            raise ReplyError(_REFUSALS[self.refusal])
        run = getattr(self, f"_{name.lower().replace(' ', '_')}", None)
        if run is None:
            raise ReplyError(f"ERR unknown command '{name}'")
        answer = run(*arguments)
        if name in _WRITES and arguments:
            self.on_write(arguments[0])
        return answer

    def snapshot(self) -> Any:
        """Return all data as it is now."""
        return copy.deepcopy((self._data, self._expires))

    def fall_back(self, snapshot: Any) -> None:
        """Go on with older data and as another server, as after a fail-over to a replica that was behind."""
        self._data, self._expires = copy.deepcopy(snapshot)
        self.replication_id = f"{int(self.replication_id, 16) + 1:040x}"
        self._scripts.clear()

    def all_keys(self) -> list[str]:
        """Return all keys that there are."""
        return [key for key in list(self._data) if self._get_any(key) is not None]

    def peek(self, key: str) -> Any:
        """Return what a key holds, without asking as a client."""
        return self._get_any(key)

    # ---- keys ----

    def _get_any(self, key: str) -> Any:
        until = self._expires.get(key)
        if until is not None and until <= self._clock():
            self._data.pop(key, None)
            del self._expires[key]
        return self._data.get(key)

    def _read(self, key: str, kind: type) -> Any:
        value = self._get_any(key)
        if value is not None and type(value) is not kind:
            raise ReplyError(WRONG_TYPE)
        return value if value is not None else kind()

    def _change(self, key: str, kind: type) -> Any:
        value = self._read(key, kind)
        self._data[key] = value
        return value

    def _tidy(self, key: str) -> None:
        if not len(self._data.get(key, "x")):
            self._delete(key)

    def _delete(self, key: str) -> int:
        self._expires.pop(key, None)
        return int(self._data.pop(key, None) is not None)

    def _del(self, *keys: str) -> int:
        return sum(self._delete(key) for key in keys if self._get_any(key) is not None)

    def _exists(self, *keys: str) -> int:
        return sum(self._get_any(key) is not None for key in keys)

    def _expire(self, key: str, seconds: str) -> int:
        return self._pexpire(key, str(float(seconds) * 1000))

    def _pexpire(self, key: str, milliseconds: str) -> int:
        if self._get_any(key) is None:
            return 0
        self._expires[key] = self._clock() + float(milliseconds) / 1000
        return 1

    def _ttl(self, key: str) -> int:
        if self._get_any(key) is None:
            return -2
        return int(self._expires[key] - self._clock()) if key in self._expires else -1

    def _type(self, key: str) -> str:
        names = {str: "string", dict: "hash", list: "list", OrderedSet: "set", SortedSet: "zset", Stream: "stream"}
        return names.get(type(self._get_any(key)), "none")

    def _flushall(self) -> str:
        self._data.clear()
        self._expires.clear()
        self._scripts.clear()
        return "OK"

    # ---- server ----

    def _ping(self) -> str:
        return "PONG"

    def _time(self) -> list[str]:
        micros = round(self._clock() * 1e6)
        return [str(micros // 1_000_000), str(micros % 1_000_000)]

    def _info(self, section: str = "") -> str:
        return f"# Replication\r\nrole:master\r\nmaster_replid:{self.replication_id}\r\ncluster_enabled:0\r\n"

    # ---- strings ----

    def _get(self, key: str) -> str | None:
        value = self._get_any(key)
        return None if value is None else str(self._read(key, str))

    def _set(self, key: str, value: str, *options: str) -> str | None:
        if "NX" in options and self._get_any(key) is not None:
            return None
        self._delete(key)
        self._data[key] = value
        for option, amount in pairwise(options):
            if option in ("EX", "PX"):
                self._pexpire(key, str(float(amount) * (1000 if option == "EX" else 1)))
        return "OK"

    # ---- hashes ----

    def _hset(self, key: str, *pairs: str) -> int:
        known = self._change(key, dict)
        before = len(known)
        known.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(known) - before

    def _hsetnx(self, key: str, name: str, value: str) -> int:
        if name in self._read(key, dict):
            return 0
        return self._hset(key, name, value)

    def _hdel(self, key: str, *names: str) -> int:
        known = self._change(key, dict)
        gone = sum(known.pop(name, None) is not None for name in names)
        self._tidy(key)
        return gone

    def _hget(self, key: str, name: str) -> str | None:
        found: str | None = self._read(key, dict).get(name)
        return found

    def _hmget(self, key: str, *names: str) -> list[str | None]:
        known = self._read(key, dict)
        return [known.get(name) for name in names]

    def _hgetall(self, key: str) -> list[str]:
        return [text for pair in self._read(key, dict).items() for text in pair]

    # ---- sets ----

    def _sadd(self, key: str, *members: str) -> int:
        known = self._change(key, OrderedSet)
        before = len(known)
        known.update(dict.fromkeys(members))
        return len(known) - before

    def _srem(self, key: str, *members: str) -> int:
        known = self._change(key, OrderedSet)
        before = len(known)
        for member in members:
            known.pop(member, None)
        gone = before - len(known)
        self._tidy(key)
        return gone

    def _smembers(self, key: str) -> list[str]:
        return list(self._read(key, OrderedSet))

    def _sscan(self, key: str, cursor: str, *_: str) -> list[Any]:
        return ["0", list(self._read(key, OrderedSet))]

    # ---- sorted sets ----

    def _zadd(self, key: str, score: str, member: str) -> int:
        known = self._change(key, SortedSet)
        is_new = member not in known
        known[member] = float(score)
        return int(is_new)

    def _zrem(self, key: str, *members: str) -> int:
        known = self._change(key, SortedSet)
        gone = sum(known.pop(member, None) is not None for member in members)
        self._tidy(key)
        return gone

    def _zremrangebyscore(self, key: str, least: str, most: str) -> int:
        known = self._read(key, SortedSet)
        return self._zrem(key, *[member for member, score in known.items() if float(least) <= score <= float(most)])

    def _zrange(self, key: str, first: str, last: str, *options: str) -> list[str]:
        known = sorted(self._read(key, SortedSet).items(), key=lambda pair: (pair[1], pair[0]))
        return [text for member, score in known for text in (member, repr(score))]

    def _zcard(self, key: str) -> int:
        return len(self._read(key, SortedSet))

    def _zscore(self, key: str, member: str) -> str | None:
        score = self._read(key, SortedSet).get(member)
        return None if score is None else repr(score)

    # ---- lists: the left end is the first place ----

    def _lpush(self, key: str, *values: str) -> int:
        known = self._change(key, list)
        known[:0] = reversed(values)
        return len(known)

    def _rpush(self, key: str, *values: str) -> int:
        known = self._change(key, list)
        known += values
        return len(known)

    def _rpop(self, key: str) -> str | None:
        known = self._change(key, list)
        value: str | None = known.pop() if known else None
        self._tidy(key)
        return value

    def _llen(self, key: str) -> int:
        return len(self._read(key, list))

    def _lindex(self, key: str, index: str) -> str | None:
        known = self._read(key, list)
        found: list[str] = known[int(index) :][:1]
        return found[0] if found else None

    def _lrange(self, key: str, first: str, last: str) -> list[str]:
        known = self._read(key, list)
        begin, end = (int(place) + len(known) if int(place) < 0 else int(place) for place in (first, last))
        return list(known[max(0, begin) : max(0, end + 1)])

    def _ltrim(self, key: str, first: str, last: str) -> str:
        kept = self._lrange(key, first, last)
        if self._get_any(key) is not None:
            self._data[key] = kept
            self._tidy(key)
        return "OK"

    def _lrem(self, key: str, count: str, value: str) -> int:
        known = self._change(key, list)
        is_there = value in known
        if is_there:
            known.remove(value)
        self._tidy(key)
        return int(is_there)

    # ---- streams ----

    def _xadd(self, key: str, wanted: str, *fields: str) -> str:
        stream = self._change(key, Stream)
        now = int(self._clock() * 1000)
        stream.last = max((now, 0), (stream.last[0], stream.last[1] + 1))
        stream.entries.append((stream.last, list(fields)))
        return _id(stream.last)

    def _xdel(self, key: str, *ids: str) -> int:
        stream = self._read(key, Stream)
        gone = {_position(text, 0) for text in ids}
        before = len(stream.entries)
        stream.entries = [entry for entry in stream.entries if entry[0] not in gone]
        return before - len(stream.entries)

    def _xack(self, key: str, *_: str) -> int:
        self._read(key, Stream)
        return 0

    def _xlen(self, key: str) -> int:
        return len(self._read(key, Stream))

    def _xrange(self, key: str, first: str, last: str, *options: str) -> list[Any]:
        least, most = _position(first.lstrip("("), 0), _position(last.lstrip("("), 2**63)
        found = [
            [_id(position), list(fields)]
            for position, fields in self._read(key, Stream).entries
            if least <= position <= most
            and not (first.startswith("(") and position == least)
            and not (last.startswith("(") and position == most)
        ]
        return found[: int(options[1])] if options else found

    def _xrevrange(self, key: str, last: str, first: str, *options: str) -> list[Any]:
        found = self._xrange(key, first, last)[::-1]
        return found[: int(options[1])] if options else found

    # ---- scripts ----

    def _script_load(self, source: str) -> str:
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self._scripts[digest] = source
        return digest

    def _evalsha(self, digest: str, key_count: str, *arguments: str) -> Any:
        source = self._scripts.get(digest)
        if source is None:
            raise ReplyError("NOSCRIPT No matching script. Please use EVAL.")
        count = int(key_count)
        return LUA.run(self, digest, source, arguments[:count], arguments[count:])


class Lua:
    """One interpreter for all servers; scripts are compiled once."""

    def __init__(self) -> None:
        self._runtime: Any = LuaRuntime(register_eval=False)
        self._compiled: dict[str, Any] = {}
        self._server: RedisServer | None = None
        table = self._runtime.table_from
        self._runtime.globals().redis = table({"call": self._call, "pcall": self._pcall})
        self._runtime.globals().cjson = table({"decode": self._decode, "encode": self._encode})

    def run(self, server: RedisServer, digest: str, source: str, keys: Sequence[str], texts: Sequence[str]) -> Any:
        """Run a script on a server."""
        function = self._compiled.get(digest)
        if function is None:
            function = self._compiled[digest] = self._runtime.execute(f"return function(KEYS, ARGV) {source}\nend")
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
        texts = [_text(value) for value in arguments]
        if name == "XINFO":
            raise ReplyError("ERR no such key")
        return self._from_reply(self._server.call(name, texts))

    def _pcall(self, name: str, *arguments: Any) -> Any:
        try:
            return self._call(name, *arguments)
        except ReplyError as error:
            return self._runtime.table_from({"err": str(error)})

    def _from_reply(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._runtime.table_from([self._from_reply(item) for item in reply])
        return reply

    def _to_reply(self, value: Any) -> Any:
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


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value if isinstance(value, str) else str(value)


def _id(position: tuple[int, int]) -> str:
    return f"{position[0]}-{position[1]}"


def _position(text: str, missing: int) -> tuple[int, int]:
    if text == "-":
        return 0, 0
    if text == "+":
        return 2**63, 2**63
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence) if sequence else missing
