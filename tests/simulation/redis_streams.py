"""Streams and their consumer groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.redis_text import text_of

Position = tuple[int, int]
_LAST = 2**63


class ReplyError(Exception):
    """An error reply; its text begins with the code."""


@dataclass
class Pending:
    """An entry that was delivered and is not acknowledged. Times are seconds on the server's clock."""

    consumer: str
    delivered_at: float
    count: int = 1


@dataclass
class Group:
    """A consumer group.

    :ivar consumers: when each was last seen.
    """

    last: Position
    pending: dict[Position, Pending] = field(default_factory=dict)
    consumers: dict[str, float] = field(default_factory=dict)


class Stream:
    """Entries in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[Position, list[str]]] = []
        self.last: Position = (0, 0)
        self.groups: dict[str, Group] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, position: Position) -> list[str] | None:
        """Return the fields of an entry, None where it was deleted."""
        return next((fields for at, fields in self.entries if at == position), None)


class StreamCommands:
    """The commands of streams."""

    _clock: Callable[[], float]

    def _read(self, key: str, kind: type) -> Any:
        raise NotImplementedError

    def _change(self, key: str, kind: type) -> Any:
        raise NotImplementedError

    def _xadd(self, key: str, wanted: str, *fields: str) -> str:
        stream = self._change(key, Stream)
        now = int(self._clock() * 1000)
        stream.last = max((now, 0), (stream.last[0], stream.last[1] + 1))
        stream.entries.append((stream.last, list(fields)))
        return id_of(stream.last)

    def _xdel(self, key: str, *ids: str) -> int:
        stream = self._read(key, Stream)
        gone = {position_of(text, 0) for text in ids}
        before = len(stream.entries)
        stream.entries = [entry for entry in stream.entries if entry[0] not in gone]
        return before - len(stream.entries)

    def _xlen(self, key: str) -> int:
        return len(self._read(key, Stream))

    def _xrange(self, key: str, first: str, last: str, *options: str) -> list[Any]:
        least, most = position_of(first.lstrip("("), 0), position_of(last.lstrip("("), _LAST)
        entries = self._read(key, Stream).entries
        if entries and (entries[-1][0] < least or (first[0] == "(" and entries[-1][0] == least)):
            return []  # nothing new, which is what most readers find
        found = [
            [id_of(position), list(fields)]
            for position, fields in entries
            if least <= position <= most
            and not (first.startswith("(") and position == least)
            and not (last.startswith("(") and position == most)
        ]
        return found[: int(options[1])] if options else found

    def _xrevrange(self, key: str, last: str, first: str, *options: str) -> list[Any]:
        if first == "-" and last == "+" and options:
            entries = self._read(key, Stream).entries[-int(options[1]) :]
            return [[id_of(position), list(fields)] for position, fields in reversed(entries)]
        found = self._xrange(key, first, last)[::-1]
        return found[: int(options[1])] if options else found

    # ---- groups ----

    def _xgroup_create(self, key: str, name: str, first: str, *_: str) -> str:
        stream = self._change(key, Stream)
        if name in stream.groups:
            raise ReplyError("BUSYGROUP Consumer Group name already exists")
        stream.groups[name] = Group(position_of(first, 0))
        return "OK"

    def _group(self, key: str, name: str) -> tuple[Stream, Group]:
        stream: Stream = self._read(key, Stream)
        group = stream.groups.get(name)
        if group is None:
            raise ReplyError(f"NOGROUP No such key '{key}' or consumer group '{name}'")
        return stream, group

    def _xreadgroup(self, _: str, name: str, consumer: str, *options: str) -> list[Any] | None:
        key, count = options[options.index("STREAMS") + 1], _option(options, "COUNT", 100)
        stream, group = self._group(key, name)
        now = group.consumers[consumer] = self._clock()
        taken = [entry for entry in stream.entries if entry[0] > group.last][:count]
        for position, _fields in taken:
            group.pending[position] = Pending(consumer, now)
            group.last = position
        return [[key, [[id_of(position), list(fields)] for position, fields in taken]]] if taken else None

    def _xautoclaim(self, key: str, name: str, consumer: str, idle: str, first: str, *options: str) -> list[Any]:
        stream, group = self._group(key, name)
        count, now, least = _option(options, "COUNT", 100), self._clock(), position_of(first, 0)
        group.consumers[consumer] = now
        waiting = sorted(position for position in group.pending if position >= least)
        claimed: list[Any] = []
        deleted: list[str] = []
        looked_at = 0
        for position in waiting:
            if len(claimed) == count or looked_at == count * 10:
                break
            looked_at += 1
            fields = stream.find(position)
            if (now - group.pending[position].delivered_at) * 1000 < float(idle):
                continue
            if fields is None:
                del group.pending[position]
                deleted.append(id_of(position))
                continue
            group.pending[position] = Pending(consumer, now, group.pending[position].count + 1)
            claimed.append([id_of(position), list(fields)])
        rest = waiting[looked_at:]
        return [id_of(rest[0]) if rest else "0-0", claimed, deleted]

    def _xclaim(self, key: str, name: str, consumer: str, idle: str, *rest: str) -> list[Any]:
        stream, group = self._group(key, name)
        now, is_just_id = self._clock(), "JUSTID" in rest
        given_idle = _option(rest, "IDLE", 0)
        group.consumers[consumer] = now
        claimed: list[Any] = []
        for text in rest:
            if text in ("JUSTID", "IDLE"):
                break
            position = position_of(text, 0)
            known = group.pending.get(position)
            if known is None or (now - known.delivered_at) * 1000 < float(idle):
                continue
            fields = stream.find(position)
            if fields is None:
                del group.pending[position]
                continue
            group.pending[position] = Pending(consumer, now - given_idle / 1000, known.count + (not is_just_id))
            claimed.append(text if is_just_id else [text, list(fields)])
        return claimed

    def _xack(self, key: str, name: str, *ids: str) -> int:
        group = self._read(key, Stream).groups.get(name)
        return sum(group.pending.pop(position_of(text, 0), None) is not None for text in ids) if group else 0

    def _xpending(self, key: str, name: str, *range_: str) -> list[Any]:
        _, group = self._group(key, name)
        first, last, count, *consumer = range_
        least, most = position_of(first, 0), position_of(last, _LAST)
        found = [
            [id_of(position), item.consumer, int((self._clock() - item.delivered_at) * 1000), item.count]
            for position, item in sorted(group.pending.items())
            if least <= position <= most and (not consumer or item.consumer == consumer[0])
        ]
        return found[: int(count)]

    def _xgroup_delconsumer(self, key: str, name: str, consumer: str) -> int:
        _, group = self._group(key, name)
        gone = [position for position, item in group.pending.items() if item.consumer == consumer]
        for position in gone:
            del group.pending[position]
        group.consumers.pop(consumer, None)
        return len(gone)

    def _xinfo_consumers(self, key: str, name: str) -> list[Any]:
        _, group = self._group(key, name)
        held = [item.consumer for item in group.pending.values()]
        now = self._clock()
        return [
            ["name", consumer, "pending", held.count(consumer), "idle", int((now - seen) * 1000)]
            for consumer, seen in sorted(group.consumers.items())
        ]

    def _xinfo_groups(self, key: str) -> list[Any]:
        stream: Stream = self._read(key, Stream)
        return [
            ["name", name, "pending", len(group.pending), "last-delivered-id", id_of(group.last)]
            for name, group in stream.groups.items()
        ]


def blocks_on(command: Sequence[Any]) -> tuple[str, float] | None:
    """Return the stream that a command waits for, and the seconds; None for a command that does not wait."""
    if command[0] != "XREADGROUP":
        return None
    words = [text_of(word) for word in command]
    if "BLOCK" not in words:
        return None
    return words[words.index("STREAMS") + 1], float(words[words.index("BLOCK") + 1]) / 1000


def _option(words: Sequence[str], name: str, otherwise: int) -> int:
    return int(words[words.index(name) + 1]) if name in words else otherwise


def id_of(position: Position) -> str:
    """Return a position as an id."""
    return f"{position[0]}-{position[1]}"


def position_of(text: str, missing: int) -> Position:
    """Return the position of an id, where ``-`` and ``+`` are the ends.

    :param missing: the second number where there is none.
    """
    if text == "-":
        return 0, 0
    if text == "+":
        return _LAST, _LAST
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence) if sequence else missing
