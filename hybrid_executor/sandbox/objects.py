"""API objects as plain JSON values.

Objects are never changed in place: a change builds a new dict that shares the unchanged parts. So objects can be
returned, kept in histories and compared without copies. The store has them without ``kind`` and ``apiVersion``. Answers
add these fields, except to the items of lists, as the API does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind of object that the API serves.

    :ivar subresources: the paths below an object of this kind.
    """

    plural: str
    kind: str
    api_version: str = "v1"
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    def typed(self, stored: Object) -> Object:
        """Return a stored object as it is answered on its own."""
        return {"kind": self.kind, "apiVersion": self.api_version, **stored}


NAMESPACES = Resource("namespaces", "Namespace", is_namespaced=False, short_names=("ns",))
PODS = Resource("pods", "Pod", short_names=("po",), subresources=("attach", "eviction", "log", "status"))
EVENTS = Resource("events", "Event", short_names=("ev",))
QUOTAS = Resource("resourcequotas", "ResourceQuota", short_names=("quota",))
SECRETS = Resource("secrets", "Secret")
CONFIG_MAPS = Resource("configmaps", "ConfigMap", short_names=("cm",))

RESOURCES = (NAMESPACES, PODS, EVENTS, QUOTAS, SECRETS, CONFIG_MAPS)


def timestamp(at_seconds: float | None = None) -> str:
    """Return a moment (default: now) as the API writes it: UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_seconds))


def name_of(stored: Object) -> str:
    """Return the object's name."""
    name: str = stored["metadata"]["name"]
    return name


def namespace_of(stored: Object) -> str:
    """Return the object's namespace, "" for an object of the whole cluster."""
    namespace: str = stored["metadata"].get("namespace", "")
    return namespace


def version_of(stored: Object) -> int:
    """Return the object's resourceVersion as the number it is on this server."""
    return int(stored["metadata"]["resourceVersion"])


def with_metadata(stored: Object, changes: Mapping[str, Any]) -> Object:
    """Return the object with these metadata fields set; a value of None removes the field."""
    metadata = {**stored["metadata"], **changes}
    return {**stored, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def is_being_deleted(stored: Object) -> bool:
    """Whether the object's deletion has been asked for."""
    return "deletionTimestamp" in stored["metadata"]
