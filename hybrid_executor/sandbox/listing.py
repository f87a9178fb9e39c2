"""Lists: at a version, in pages of the same version, as whole objects or as metadata only."""

from __future__ import annotations

import base64
import binascii
import json

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.history import Key
from hybrid_executor.sandbox.objects import Object, Resource, name_of, namespace_of
from hybrid_executor.sandbox.queries import ListQuery
from hybrid_executor.sandbox.status import StatusError, bad_request, version_expired, version_in_the_future

METADATA_API = "meta.k8s.io/v1"


def list_objects(cluster: Cluster, query: ListQuery, *, metadata_only: bool) -> Object:
    """Return the answer of a list request.

    :raises StatusError: 400, 410 or 504.
    """
    version, after = _position(cluster, query)
    stored = cluster.select(query.selection.resource, query.selection.namespace, at=version)
    matching = [entry for entry in stored if query.selection.matches(entry)]
    if after is not None:
        matching = [entry for entry in matching if (namespace_of(entry), name_of(entry)) > after]
    page = matching[: query.limit] if query.limit else matching
    metadata: Object = {"resourceVersion": str(version)}
    if len(page) < len(matching):
        metadata["continue"] = _token(version, page[-1])
        if not query.selection.is_narrowed:
            metadata["remainingItemCount"] = len(matching) - len(page)
    return list_of(query.selection.resource, page, metadata, metadata_only=metadata_only)


def list_of(resource: Resource, items: list[Object], metadata: Object, *, metadata_only: bool = False) -> Object:
    """Return a list object."""
    if metadata_only:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": METADATA_API,
            "metadata": metadata,
            "items": [partial(entry) for entry in items],
        }
    kind = f"{resource.kind}List"
    return {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def partial(stored: Object) -> Object:
    """Return the object as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": METADATA_API, "metadata": stored["metadata"]}


def _position(cluster: Cluster, query: ListQuery) -> tuple[int, Key | None]:
    """Return the version to list at and the key to list after."""
    if query.continue_token:
        version, after = _read_token(query.continue_token)
        return _reachable(cluster, query, version, "The provided continue parameter is too old"), after
    if query.version and query.version > cluster.version:
        raise version_in_the_future(query.version, cluster.version)
    if query.version and query.is_exact:
        message = "The resourceVersion for the provided list is too old."
        return _reachable(cluster, query, query.version, message), None
    return cluster.version, None


def _reachable(cluster: Cluster, query: ListQuery, version: int, message: str) -> int:
    try:
        cluster.changes_after(query.selection.resource, version)
    except StatusError as error:
        raise version_expired(message) from error
    return version


def _token(version: int, last: Object) -> str:
    start = f"{namespace_of(last)}/{name_of(last)}\0"
    text = json.dumps({"v": METADATA_API, "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = decoded["start"].rstrip("\0").partition("/")
        return int(decoded["rv"]), (namespace, name)
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_request("continue key is not valid") from error
