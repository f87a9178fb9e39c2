"""Which pods belong to this deployment, where two with the same instance name share a namespace.

Promises: a pod is ours if it has an id of our Redis, or if our Redis has the record of its attempt (no other Redis has
it: attempts are UUIDs). All others are foreign and are left alone. When Redis loses its data, agents that knew the ids
still know them, and tell them to the others.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.complaints import Complaints
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Attempts, Record, RedisIdentity


class Identified(Protocol):
    """Anything that says which pod it is about."""

    @property
    def identity(self) -> PodIdentity:
        """The pod."""


T = TypeVar("T", bound=Identified)


class Ownership:
    """The ids of our Redis, and the places with pods of other deployments. Safe for several threads."""

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
        """Exchange the known ids with Redis.

        :raises StoreUnavailable: Redis could not be asked; the known ids stay known.
        """
        self._ids |= self._identity.share(self._ids)

    @property
    def id(self) -> str:
        """The id for new pods, "" before the first :meth:`check`."""
        return min(self._ids, default="")

    def is_own(self, redis_id: str) -> bool:
        """Return whether a pod with this id of a Redis, and without an attempt, is ours."""
        return redis_id in self._ids

    def is_foreign(self, identity: PodIdentity, record: Record | None) -> bool:
        """Return whether a pod belongs to another deployment; pods of older versions carry no id and are ours."""
        return record is None and bool(identity.redis_id) and identity.redis_id not in self._ids

    def own(self, sightings: Sequence[T], *, place: str) -> list[T]:
        """Return those of our pods, and report the others.

        :raises StoreUnavailable: Redis could not be asked about pods that carry another id.
        """
        if not self._doubtful(sightings):
            return list(sightings)
        # Another agent may have told since the last check which ids are ours.
        self._ids |= self._identity.read()
        doubtful = self._doubtful(sightings)
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

    def _doubtful(self, sightings: Sequence[T]) -> list[AttemptId]:
        return [seen.identity.attempt for seen in sightings if self.is_foreign(seen.identity, None)]

    def _report_clash(self, place: str, example: PodIdentity) -> None:
        """Report once that a place has pods of another deployment."""
        with self._lock:
            self._clashes[place] = example.path
        self._complaints.report(
            f"clash:{place}",
            "Pods of another deployment are in %s: it has another Redis and the same [hybrid_executor] instance = %s. "
            "This agent leaves them alone. Give each deployment its own instance.",
            place,
            self._instance,
        )

    def settle_clash(self, place: str) -> None:
        """Note that a list of the place showed no foreign pod."""
        with self._lock:
            self._clashes.pop(place, None)
        self._complaints.settle(f"clash:{place}", "No pods of another deployment are in %s any more", place)

    @property
    def clashes(self) -> dict[str, str]:
        """Places with foreign pods, and one such pod for each place."""
        with self._lock:
            return dict(self._clashes)
