"""Whose pods these are, where two deployments with the same instance name share a namespace.

Promises: a pod is ours if it carries an id of our Redis, or if our Redis has the record of its attempt (which no other
Redis has: attempts are UUIDs); all others are foreign, and nothing is done to them. Data loss of Redis changes nothing
for those who saw the ids before it, and those who did not learn them from the others.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hybrid_executor.agent.complaints import Complaints
from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.store import Attempts, Record, RedisIdentity


class Identified(Protocol):
    """Anything that says which pod it is about."""

    @property
    def identity(self) -> PodIdentity:
        """The pod."""


T = TypeVar("T", bound=Identified)


class Ownership:
    """The ids of our Redis, and the clashes that were met. Safe for several threads."""

    def __init__(
        self, identity: RedisIdentity, *, attempts: Attempts, complaints: Complaints, instance: str = ""
    ) -> None:
        self._identity = identity
        self._attempts = attempts
        self._complaints = complaints
        self._instance = instance
        self._ids: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._clashes: dict[str, str] = {}

    def check(self) -> None:
        """Exchange what is known with Redis.

        :raises StoreUnavailable: Redis could not be asked; what is known stays known.
        """
        self._ids |= self._identity.share(self._ids)

    @property
    def id(self) -> str:
        """The id for new pods, "" before the first :meth:`check`."""
        return min(self._ids, default="")

    def is_foreign(self, identity: PodIdentity, record: Record | None) -> bool:
        """Return whether a pod belongs to another deployment; pods of older versions carry no id and are ours."""
        return record is None and bool(identity.redis_id) and identity.redis_id not in self._ids

    def own(self, sightings: Sequence[T], *, place: str) -> list[T]:
        """Return the sightings of our pods, and report the others.

        :raises StoreUnavailable: Redis could not be asked about pods that carry another id.
        """
        doubtful = [seen.identity.attempt for seen in sightings if self.is_foreign(seen.identity, None)]
        if not doubtful:
            return list(sightings)
        records = dict(zip(doubtful, self._attempts.records(doubtful), strict=True))
        own: list[T] = []
        foreign: list[PodIdentity] = []
        for seen in sightings:
            if self.is_foreign(seen.identity, records.get(seen.identity.attempt)):
                foreign.append(seen.identity)
            else:
                own.append(seen)
        if foreign:
            self._report_clash(place, foreign[0])
        return own

    def _report_clash(self, place: str, example: PodIdentity) -> None:
        """Say once that a place holds pods of another deployment."""
        with self._lock:
            self._clashes[place] = example.path
        self._complaints.report(
            f"clash:{place}",
            "In %s there are pods of another deployment, which has another Redis and the same [hybrid_executor] "
            "instance = %s. They are left alone. Give each deployment an instance of its own.",
            place,
            self._instance,
        )

    def settle_clash(self, place: str) -> None:
        """A list of the place showed no pod of anybody else."""
        with self._lock:
            self._clashes.pop(place, None)
        self._complaints.settle(f"clash:{place}", "There are no pods of another deployment in %s any more", place)

    @property
    def clashes(self) -> dict[str, str]:
        """Places with pods of others, and one of those pods for each."""
        with self._lock:
            return dict(self._clashes)
