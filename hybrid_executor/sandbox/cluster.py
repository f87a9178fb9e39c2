"""The object store, like etcd and the watch cache of a real cluster.

One version counter for all resources rises by one with each write. Every waiting reader gets every write once and in
order. HTTP, validation and the meaning of objects are handled elsewhere. All writes happen in the server's event loop;
other threads may read single objects.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable

from hybrid_executor.sandbox.history import Change, History, Key
from hybrid_executor.sandbox.objects import (
    NAMESPACES,
    RESOURCES,
    Object,
    Resource,
    name_of,
    namespace_of,
    timestamp,
    version_of,
    with_metadata,
)
from hybrid_executor.sandbox.status import already_exists, modified_meanwhile, not_found

FIRST_VERSION = 1000
"""Versions start here, so version 1 is too old, as on a cluster that has run for some time."""

HISTORY_LIMIT = 50_000
"""Remembered changes per resource: ten thousand pods' whole lives."""

Listener = Callable[[Change], None]


class Cluster:
    """All objects of one sandbox.

    :ivar version: the version of the latest write.
    """

    def __init__(self, *, history_limit: int = HISTORY_LIMIT, namespaces: Iterable[str] = ("default",)) -> None:
        self.version = FIRST_VERSION
        self._objects: dict[str, dict[Key, Object]] = {resource.plural: {} for resource in RESOURCES}
        self._histories = {resource.plural: History(limit=history_limit, floor=FIRST_VERSION) for resource in RESOURCES}
        self._listeners: list[Listener] = []
        self._changed = asyncio.Event()
        for name in namespaces:
            self.create(NAMESPACES, new_namespace(name))

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return the object, None if there is none."""
        return self._objects[resource.plural].get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return the object.

        :raises StatusError: 404.
        """
        found = self.find(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def select(self, resource: Resource, namespace: str | None = None, *, at: int | None = None) -> list[Object]:
        """Return the objects of a namespace (None: of all) in the API's order, now or at a past version.

        :raises StatusError: 410, the past version is forgotten.
        """
        objects = self._objects[resource.plural]
        if at is not None and at != self.version:
            objects = self._histories[resource.plural].undo(objects, at)
        keys = sorted(key for key in objects if namespace is None or key[0] == namespace)
        return [objects[key] for key in keys]

    def create(self, resource: Resource, stored: Object) -> Object:
        """Add an object and return it with the uid, version and time that the server gives it.

        :raises StatusError: 409, the name is taken.
        """
        key = (namespace_of(stored), name_of(stored))
        if key in self._objects[resource.plural]:
            raise already_exists(resource, key[1])
        given = {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        return self._write(resource, key, None, with_metadata(stored, given))

    def replace(self, resource: Resource, stored: Object) -> Object:
        """Store a new state of an existing object and return it; a state that changes nothing is not a write.

        The version inside ``stored`` is the one that the change is based on.

        :raises StatusError: 404, or 409 if the object has changed since that version.
        """
        key = (namespace_of(stored), name_of(stored))
        current = self.get(resource, *key)
        if stored["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
            raise modified_meanwhile(resource, key[1])
        return current if stored == current else self._write(resource, key, current, stored)

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        """Remove an object and return its last state, with the version of the removal.

        :raises StatusError: 404.
        """
        current = self.get(resource, namespace, name)
        self.version += 1
        state = with_metadata(current, {"resourceVersion": str(self.version)})
        del self._objects[resource.plural][namespace, name]
        self._record(Change(resource, version=self.version, before=current, after=None, state=state))
        return state

    def changes_after(self, resource: Resource, version: int) -> list[Change]:
        """Return what happened to the resource's objects above a version, oldest first.

        :raises StatusError: 410, it is forgotten.
        """
        return self._histories[resource.plural].after(version)

    def latest_changes(self, resource: Resource, count: int) -> list[Change]:
        """Return the newest changes of the resource's objects, oldest first."""
        return self._histories[resource.plural].last(count)

    def listen(self, listener: Listener) -> None:
        """Call the listener in the event loop with every change from now on."""
        self._listeners.append(listener)

    def compact(self) -> None:
        """Forget all history: every version but the latest is too old from now on."""
        for history in self._histories.values():
            history.forget(self.version)

    async def wait(self, timeout_seconds: float) -> None:
        """Return after the next write or :meth:`wake`, or when the time is over."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), timeout_seconds)
        except asyncio.TimeoutError:
            return

    def wake(self) -> None:
        """End every running :meth:`wait`."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _write(self, resource: Resource, key: Key, before: Object | None, after: Object) -> Object:
        self.version += 1
        written = with_metadata(after, {"resourceVersion": str(self.version)})
        self._objects[resource.plural][key] = written
        self._record(Change(resource, version=version_of(written), before=before, after=written, state=written))
        return written

    def _record(self, change: Change) -> None:
        self._histories[change.resource.plural].append(change)
        for listener in self._listeners:
            listener(change)
        self.wake()


def new_namespace(name: str) -> Object:
    """Return an active namespace to be created."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
