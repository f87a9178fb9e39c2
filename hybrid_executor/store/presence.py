"""Who is alive: workers and agents announce themselves. Silence does not prove that one is dead."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import checked_answers, is_wrong_type

log = logging.getLogger(__name__)

Role = Literal["worker", "agent", "scheduler"]
_FORGOTTEN_SECONDS = 86400


@dataclass(frozen=True, kw_only=True)
class Member:
    """A worker or agent.

    :ivar fields: its announcement (queues, running attempts, pid, ...); empty once that has expired.
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


class Presence:
    """Announcements of one instance's workers and agents."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def announce(self, role: Role, name: str, fields: Mapping[str, str], *, seconds: float) -> None:
        """Announce that ``name`` is alive and what it does; valid for ``seconds``."""
        try:
            self._announce(role, name, fields, seconds=seconds)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._client.delete(self._keys.members(role))
            self._announce(role, name, fields, seconds=seconds)

    def _announce(self, role: Role, name: str, fields: Mapping[str, str], *, seconds: float) -> None:
        clock, micros = self._client.time()
        key = self._keys.member(role, name)
        pipeline = self._client.pipeline(transaction=True)
        # Replaced as a whole, so that no field of an older announcement remains, nor a value of another type.
        pipeline.delete(key)
        pipeline.hset(key, items=[text for pair in {**fields, "name": name}.items() for text in pair])
        pipeline.pexpire(key, int(seconds * 1000))
        pipeline.zadd(self._keys.members(role), {name: clock + micros / 1e6})
        pipeline.zremrangebyscore(self._keys.members(role), 0, clock - _FORGOTTEN_SECONDS)
        pipeline.expire(self._keys.members(role), _FORGOTTEN_SECONDS)
        pipeline.execute()

    @translated
    def withdraw(self, role: Role, name: str, *, life: str = "") -> None:
        """Withdraw the announcement of ``name``, which ends in good order.

        :param life: identifies the one that ends; nothing happens where another one uses the name now.
        """
        run_script(
            self._client,
            calls.Withdraw(
                member_key=self._keys.member(role, name), members_key=self._keys.members(role), name=name, life=life
            ),
        )

    @translated
    def fields(self, role: Role, name: str) -> dict[str, str]:
        """Return the announcement of ``name``; empty where it has expired."""
        return cast("dict[str, str]", self._client.hgetall(self._keys.member(role, name)))

    @translated
    def members(self, role: Role) -> list[Member]:
        """Return all that announced themselves in the last day, by name."""
        now, known = self._heard(role)
        pipeline = self._client.pipeline(transaction=False)
        for name, _ in known:
            pipeline.hgetall(self._keys.member(role, name))
        return sorted(
            (
                Member(role=role, name=name, fields=_fields(answer), silent_seconds=max(0.0, now - float(heard)))
                for (name, heard), answer in zip(known, pipeline.execute(raise_on_error=False), strict=True)
            ),
            key=lambda member: member.name,
        )

    def _heard(self, role: Role) -> tuple[float, list[tuple[str, float]]]:
        """Return what time it is on the server, and names with the times when each was heard of.

        None are there where the key holds another type, which the next announcement deletes.
        """
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        pipeline.zrange(self._keys.members(role), 0, -1, withscores=True)
        (clock, micros), known = cast("list[Any]", checked_answers(pipeline.execute(raise_on_error=False)))
        return clock + micros / 1e6, [] if isinstance(known, Exception) else known

    def in_hand(self) -> set[AttemptId]:
        """Return every attempt that a live worker says it runs or holds.

        A restarted worker of the same name does not hold its predecessor's attempts. A part of an announcement that
        cannot be read is left out: an attempt that is missing here may still run.
        """
        found: set[AttemptId] = set()
        for member in self.members("worker"):
            for name in ("running", "held"):
                try:
                    found |= {AttemptId(str(attempt)) for attempt in json.loads(member.fields.get(name) or "[]")}
                except (ValueError, TypeError):
                    log.warning("The announcement of worker %s has an unreadable field: %s", member.name, name)
        return found


def _fields(answer: object) -> Mapping[str, str]:
    """Return an announcement, empty where its key holds a value of another type.

    :raises redis.RedisError: the answer is any other error.
    """
    if not isinstance(answer, Exception):
        return cast("Mapping[str, str]", answer)
    if is_wrong_type(answer):
        return {}
    raise answer
