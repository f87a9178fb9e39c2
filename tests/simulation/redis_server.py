"""A Redis in memory that runs the store's Lua. Its clock is virtual, and older data can be put back.

It has the commands that the store, its scripts and a Celery broker use, and no others. ``tests/contract`` runs the
tests of the store on it as on a real server.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from tests.simulation.redis_lua import LUA
from tests.simulation.redis_streams import ReplyError, Stream, StreamCommands
from tests.simulation.redis_text import text_of

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
_WRITES = frozenset(
    "SET DEL HSET HSETNX HINCRBY HDEL SADD SREM LPUSH RPUSH LREM LTRIM RPOP LMPOP XADD XDEL XACK XREADGROUP XCLAIM "
    "XAUTOCLAIM ZADD ZREM ZREMRANGEBYSCORE EXPIRE PEXPIRE FLUSHALL".split()
) | {"XGROUP CREATE", "XGROUP DELCONSUMER"}
REFUSALS = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "NOAUTH": "NOAUTH Authentication required.",
    "NOPERM": "NOPERM User airflow has no permissions to run this command",
}
OF_ALL_COMMANDS = frozenset({"LOADING", "MASTERDOWN", "BUSY", "NOAUTH", "NOPERM"})
"""Refusals of all commands; the others are of writes."""
AroundScript = Callable[[str, Sequence[str], Sequence[str], Callable[[], Any]], Any]


@cache
def digest_of(source: str) -> str:
    """Return the name of a script."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class SortedSet(dict[str, float]):
    """Members and their scores."""


class OrderedSet(dict[str, None]):
    """Members in the order in which they came, so that nothing depends on the hash of a text."""


class RedisServer(StreamCommands):
    """One server.

    :param clock: returns seconds since the epoch.
    :ivar after_writes: each is called with the keys that were changed by commands that were sent together; a script is
        done as a whole by then.
    :ivar around_script: runs each script, by what it is given: its digest, its keys, its arguments, and what runs it.
    :ivar refusal: the code with which writes are refused, or all commands where it is LOADING; "" for none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._scripts: dict[str, str] = {}
        self._commands: dict[str, Callable[..., Any]] = {}
        self._data: dict[str, Any] = {}
        self._expires: dict[str, float] = {}
        self.refusal = ""
        self.replication_id = f"{1:040x}"
        self.after_writes: list[Callable[[dict[str, None]], None]] = []
        self.around_script: AroundScript | None = None
        self._written: dict[str, None] = {}

    def run(self, commands: Sequence[Sequence[Any]], *, refusal: str = "") -> list[Any]:
        """Run commands in order; an error of one is its answer."""
        self.refusal = refusal
        answers: list[Any] = []
        for name, *arguments in commands:
            try:
                texts = [value if type(value) is str else text_of(value) for value in arguments]
                answers.append(self.call(name.upper(), texts))
            except ReplyError as error:
                answers.append(error)
        self.refusal = ""
        if self._written:
            written, self._written = self._written, {}
            for tell in self.after_writes:
                tell(written)
        return answers

    def call(self, name: str, arguments: list[str]) -> Any:
        """Run one command."""
        if self.refusal and (self.refusal in OF_ALL_COMMANDS or name in _WRITES):
            raise ReplyError(REFUSALS[self.refusal])
        run = self._commands.get(name)
        if run is None:
            run = getattr(self, f"_{name.lower().replace(' ', '_')}", None)
            if run is None:
                raise ReplyError(f"ERR unknown command '{name}'")
            self._commands[name] = run
        answer = run(*arguments)
        if name in _WRITES and arguments and name != "LMPOP":
            self._written[arguments[0]] = None
        return answer

    def snapshot(self) -> Any:
        """Return all data as it is now."""
        return copy.deepcopy((self._data, self._expires))

    def milliseconds(self) -> int:
        """Return what time it is here."""
        return int(self._clock() * 1000)

    def know(self, sources: Iterable[str]) -> None:
        """Keep scripts, as a server does that has run for some time. A loss of data is a loss of scripts too."""
        self._scripts |= {digest_of(source): source for source in sources}

    def fall_back(self, snapshot: Any) -> None:
        """Go on with older data and as another server, as after a fail-over to a replica that was behind."""
        self._data, self._expires = copy.deepcopy(snapshot)
        self._become_another()

    def restart_empty(self) -> None:
        """Start again without data."""
        self._flushall()
        self._become_another()

    def _become_another(self) -> None:
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

    def _hincrby(self, key: str, name: str, amount: str) -> int:
        known = self._change(key, dict)
        known[name] = str(int(known.get(name, "0")) + int(amount))
        return int(known[name])

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

    def _zadd(self, key: str, *words: str) -> int:
        *options, score, member = words
        known = self._change(key, SortedSet)
        is_new = member not in known
        if is_new or "NX" not in options:
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
        begin, end = (int(place) + len(known) if int(place) < 0 else int(place) for place in (first, last))
        chosen = known[max(0, begin) : max(0, end + 1)]
        if "WITHSCORES" not in options:
            return [member for member, _ in chosen]
        return [text for member, score in chosen for text in (member, repr(score))]

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
        known = self._read(key, list)
        value: str | None = known.pop() if known else None
        self._tidy(key)
        return value

    def _lmpop(self, count: str, *words: str) -> list[Any] | None:
        for key in words[: int(count)]:
            value = self._rpop(key)
            if value is not None:
                self._written[key] = None
                return [key, [value]]
        return None

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
        if is_there and int(count) < 0:
            del known[len(known) - 1 - known[::-1].index(value)]
        elif is_there:
            known.remove(value)
        self._tidy(key)
        return int(is_there)

    # ---- scripts ----

    def _script_load(self, source: str) -> str:
        self._scripts[digest_of(source)] = source
        return digest_of(source)

    def _evalsha(self, digest: str, key_count: str, *arguments: str) -> Any:
        source = self._scripts.get(digest)
        if source is None:
            raise ReplyError("NOSCRIPT No matching script. Please use EVAL.")
        keys, texts = arguments[: int(key_count)], arguments[int(key_count) :]
        if self.around_script is None:
            return LUA.run(self, digest, source, keys, texts)
        return self.around_script(digest, keys, texts, lambda: LUA.run(self, digest, source, keys, texts))
