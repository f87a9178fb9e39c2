"""The changes of one resource's objects, in order, back to an oldest version.

Watches that resume from a version, and lists at a past version, read it. A request for an older version gets the API's
410.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_executor.sandbox.objects import Object, Resource, name_of, namespace_of
from hybrid_executor.sandbox.status import version_expired

Key = tuple[str, str]
"""Namespace ("" for an object of the whole cluster) and name. Sorts as the API lists."""


class Change:
    """One object's step from one version to the next.

    :ivar before: the object as it was, None when it was created.
    :ivar after: the object as it is now, None when it was removed.
    :ivar state: the object that an event shows: ``after``, or the last state with the version of the removal.
    """

    __slots__ = ("_encoded", "after", "before", "resource", "state", "version")

    def __init__(
        self, resource: Resource, *, version: int, before: Object | None, after: Object | None, state: Object
    ) -> None:
        self.resource = resource
        self.version = version
        self.before = before
        self.after = after
        self.state = state
        self._encoded: bytes | None = None

    @property
    def key(self) -> Key:
        """Namespace and name of the changed object."""
        return namespace_of(self.state), name_of(self.state)

    def encoded(self) -> bytes:
        """Return the state as JSON; encoded once, however many watches send it."""
        if self._encoded is None:
            self._encoded = encode(self.resource.typed(self.state))
        return self._encoded


def encode(value: object) -> bytes:
    """Return the value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class History:
    """The remembered changes of one resource.

    :ivar floor: changes up to and including this version are forgotten.
    :ivar limit: how many changes are remembered at least; up to twice as many are.
    """

    limit: int
    floor: int

    def __post_init__(self) -> None:
        self._changes: list[Change] = []
        self._versions: list[int] = []

    def append(self, change: Change) -> None:
        """Remember a change; its version must be above all others."""
        self._changes.append(change)
        self._versions.append(change.version)
        if len(self._changes) > 2 * self.limit:
            self.forget(self._versions[-self.limit - 1])

    def forget(self, version: int) -> None:
        """Forget the changes up to and including this version."""
        end = bisect_right(self._versions, version)
        del self._changes[:end]
        del self._versions[:end]
        self.floor = max(self.floor, version)

    def after(self, version: int) -> list[Change]:
        """Return the changes above a version, oldest first.

        :raises StatusError: 410, they are forgotten.
        """
        if version < self.floor:
            raise version_expired(f"too old resource version: {version} ({self.floor})")
        return self._changes[bisect_right(self._versions, version) :]

    def last(self, count: int) -> list[Change]:
        """Return the newest changes, oldest first."""
        return self._changes[-count:] if count > 0 else []

    def undo(self, current: Mapping[Key, Object], version: int) -> dict[Key, Object]:
        """Return the objects as they were at a version.

        :raises StatusError: 410, that is forgotten.
        """
        objects = dict(current)
        for change in reversed(self.after(version)):
            if change.before is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.before
        return objects
