"""Who is alive: workers and agents announce themselves; silence is a suspicion, not a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import run_script
from hybrid_executor.store.translation import translated

Role = Literal["worker", "agent", "scheduler"]
_FORGOTTEN_SECONDS = 86400


@dataclass(frozen=True, kw_only=True)
class Member:
    """A worker or agent.

    :ivar fields: what it says of itself (queues, running attempts, pid, ...); empty once it has been silent too long.
    :ivar silent_seconds: time since it was last heard of, on the Redis server's clock.
    """

    role: Role
    name: str
    fields: Mapping[str, str]
    silent_seconds: float

    @property
    def is_alive(self) -> bool:
        """Its announcement has not expired."""
        return bool(self.fields)


def _texts(fields: Mapping[str, str]) -> dict[Any, Any]:
    return dict(fields)


class Presence:
    """Announcements of one instance's workers and agents."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def announce(self, role: Role, name: str, fields: Mapping[str, str], *, seconds: float) -> None:
        """Say that ``name`` is alive and what it does; holds for ``seconds``."""
        clock, micros = self._client.time()
        key = self._keys.member(role, name)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset(key, mapping={**_texts(fields), "name": name})
        pipeline.pexpire(key, int(seconds * 1000))
        pipeline.zadd(self._keys.members(role), {name: clock + micros / 1e6})
        pipeline.zremrangebyscore(self._keys.members(role), 0, clock - _FORGOTTEN_SECONDS)
        pipeline.expire(self._keys.members(role), _FORGOTTEN_SECONDS)
        pipeline.execute()

    @translated
    def withdraw(self, role: Role, name: str, *, life: str = "") -> None:
        """Say that ``name`` has left in good order.

        :param life: of the one that leaves; nothing happens where another one has taken the name over.
        """
        keys = [self._keys.member(role, name), self._keys.members(role)]
        run_script(self._client, "withdraw", (keys, [name, life]))

    @translated
    def fields(self, role: Role, name: str) -> dict[str, str]:
        """Return what ``name`` says of itself; empty where it has been silent too long."""
        return cast("dict[str, str]", self._client.hgetall(self._keys.member(role, name)))

    @translated
    def members(self, role: Role) -> list[Member]:
        """Return everyone heard of in the last day, by name."""
        clock, micros = self._client.time()
        known = cast("list[tuple[str, float]]", self._client.zrange(self._keys.members(role), 0, -1, withscores=True))
        pipeline = self._client.pipeline(transaction=False)
        for name, _ in known:
            pipeline.hgetall(self._keys.member(role, name))
        now = clock + micros / 1e6
        return sorted(
            (
                Member(role=role, name=name, fields=fields, silent_seconds=max(0.0, now - float(heard)))
                for (name, heard), fields in zip(known, pipeline.execute(), strict=True)
            ),
            key=lambda member: member.name,
        )

    @translated
    def alive(self, role: Role) -> set[str]:
        """Return the names of all whose announcement has not expired."""
        names = cast("list[str]", self._client.zrange(self._keys.members(role), 0, -1))
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(self._keys.member(role, name))
        return {name for name, exists in zip(names, pipeline.execute(), strict=True) if exists}

    def in_hand(self) -> set[AttemptId]:
        """Return every attempt that a living worker says it runs or holds.

        A worker that was restarted under its old name lives, and has not what its former self had.
        """
        texts = [
            member.fields.get(name) or "[]"
            for member in self.members("worker")
            if member.is_alive
            for name in ("running", "held")
        ]
        return {AttemptId(str(attempt)) for text in texts for attempt in json.loads(text)}
