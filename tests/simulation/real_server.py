"""A real Redis or Valkey in the place of the simulated one: the same commands, scripts, faults and looks.

Its clock cannot be set, so a history takes as long as it says: before each exchange, the real clock has to come as far
as the virtual one. What takes longer to compute than it takes in the history lets the server's clock run ahead for a
moment; ``furthest_ahead`` says by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.simulation import clocks
from tests.simulation.redis_server import OF_ALL_COMMANDS, REFUSALS, OrderedSet, RedisServer, SortedSet
from tests.simulation.redis_streams import Group, Pending, ReplyError, Stream, position_of
from tests.simulation.redis_text import text_of
from tests.simulation.wire import Wire

_SEEN = "simulation-seen"
_MANY = 10_000
_NOBODY = ("127.0.0.1", 1)


class RealServer(RedisServer):
    """One server that is empty and nobody else's.

    :param clock: returns the virtual time, which must have begun as the real one.
    :ivar furthest_ahead: seconds that the server's clock was ahead of the virtual one, at most.
    """

    def __init__(self, clock: Callable[[], float], *, host: str, port: int) -> None:
        super().__init__(clock)
        self._wire, self._told = Wire(host, port), Wire(host, port)
        self._count = 0
        self.furthest_ahead = 0.0
        if self._wire.ask("DBSIZE"):
            raise ValueError(f"The server at {host}:{port} is not empty: a history deletes all that it holds")
        self._wire.ask("CONFIG", "SET", "notify-keyspace-events", "EA")
        self._told.ask("SUBSCRIBE", _SEEN)
        self._told.ask("PSUBSCRIBE", "__keyevent@0__:*")

    def close(self) -> None:
        """Leave the server as it was."""
        self._forget()
        self._wire.ask("CONFIG", "SET", "notify-keyspace-events", "")
        self._wire.close()
        self._told.close()

    def run(self, commands: Sequence[Sequence[Any]], *, refusal: str = "") -> list[Any]:
        """Run commands in order; an error of one is its answer."""
        self._wait()
        if refusal in OF_ALL_COMMANDS:
            return [ReplyError(REFUSALS[refusal]) for _ in commands]
        if refusal:  # the server refuses all writes, and only its words are replaced
            self._wire.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        answers = self._wire.ask_all([_without_wait(command) for command in commands])
        if refusal:
            self._wire.ask("CONFIG", "SET", "min-replicas-to-write", "0")
            answers = [_in_words(answer, REFUSALS[refusal]) for answer in answers]
        if any(command[0] == "FLUSHALL" for command in commands):
            self._wire.ask("SCRIPT", "FLUSH")
        if written := self._written_keys():
            for tell in self.after_writes:
                tell(written)
        return answers

    def _wait(self) -> None:
        """Let the real time come as far as the virtual one."""
        ahead = clocks.real_time() - self._clock()
        if ahead < 0:
            clocks.real_sleep(-ahead)
        self.furthest_ahead = max(self.furthest_ahead, ahead)

    def _written_keys(self) -> dict[str, None]:
        """Return the keys that were changed since the last time, in the order of the changes."""
        self._count += 1
        self._wire.ask("PUBLISH", _SEEN, self._count)
        written: dict[str, None] = {}
        while True:
            kind, *where, text = self._told.receive()
            if kind == "message" and text == str(self._count):
                return written
            if kind == "pmessage" and not where[-1].endswith(("expired", "evicted")):
                written[text] = None

    def snapshot(self) -> Any:
        """Return all data as it is now."""
        kept = []
        for key in self.all_keys():
            dumped, until = self._wire.ask("DUMP", key), self._wire.ask("PEXPIRETIME", key)
            if dumped is not None:
                kept.append((key, max(0, until), dumped))
        return kept

    def milliseconds(self) -> int:
        """Return what time it is there."""
        seconds, micros = self._wire.ask("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def know(self, sources: Iterable[str]) -> None:
        """Keep scripts."""
        self._wire.ask_all([["SCRIPT", "LOAD", source] for source in sources])

    def fall_back(self, snapshot: Any) -> None:
        """Go on with older data and as another server."""
        self._forget()
        for key, until, dumped in snapshot:
            self._wire.ask("RESTORE", key, until, dumped, "ABSTTL")
        self._become_another()

    def restart_empty(self) -> None:
        """Go on without data and as another server."""
        self._forget()
        self._become_another()

    def _forget(self) -> None:
        self._wire.ask("FLUSHALL")
        self._wire.ask("SCRIPT", "FLUSH")
        self._written_keys()

    def _become_another(self) -> None:
        """Take another replication id, as a replica does that is promoted."""
        self._wire.ask("REPLICAOF", *_NOBODY)
        self._wire.ask("REPLICAOF", "NO", "ONE")

    def all_keys(self) -> list[str]:
        """Return all keys that there are."""
        keys: list[str] = self._wire.ask("KEYS", "*")
        return sorted(keys)

    def peek(self, key: str) -> Any:
        """Return what a key holds, as the simulated server keeps it."""
        ask = self._wire.ask
        match ask("TYPE", key):
            case "string":
                return ask("GET", key)
            case "hash":
                return _pairs(ask("HGETALL", key))
            case "list":
                return ask("LRANGE", key, 0, -1)
            case "set":
                return OrderedSet.fromkeys(ask("SMEMBERS", key))
            case "zset":
                found = _pairs(ask("ZRANGE", key, 0, -1, "WITHSCORES"))
                return SortedSet({member: float(score) for member, score in found.items()})
            case "stream":
                return self._stream(key)
        return None

    def _stream(self, key: str) -> Stream:
        stream, ask, now = Stream(), self._wire.ask, self._clock()
        stream.entries = [(position_of(text, 0), fields) for text, fields in ask("XRANGE", key, "-", "+")]
        for told in ask("XINFO", "GROUPS", key):
            known = _pairs(told)
            group = stream.groups[known["name"]] = Group(position_of(known["last-delivered-id"], 0))
            for text, consumer, idle, count in ask("XPENDING", key, known["name"], "-", "+", _MANY):
                group.pending[position_of(text, 0)] = Pending(consumer, now - idle / 1000, count)
        return stream


def _pairs(items: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _without_wait(command: Sequence[Any]) -> Sequence[Any]:
    """Return a command that does not wait at the server: the virtual time decides how long it waits."""
    name, *arguments = (text_of(word) for word in command)
    if name == "XREADGROUP" and "BLOCK" in arguments:
        place = arguments.index("BLOCK")
        del arguments[place : place + 2]
    return [*name.split(), *arguments]  # redis-py has commands of two words


def _in_words(answer: Any, words: str) -> Any:
    """Return a refusal of writes in the words of another one."""
    return ReplyError(words) if isinstance(answer, ReplyError) and "NOREPLICAS" in str(answer) else answer
