"""The parts of a request besides its path: parameters, Accept header, DeleteOptions, patch format. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_executor.sandbox.objects import Object, Resource
from hybrid_executor.sandbox.patching import json_patch, merge_patch, strategic_merge_patch
from hybrid_executor.sandbox.pods import Deletion
from hybrid_executor.sandbox.selectors import Predicate, field_selector, label_selector, match_all
from hybrid_executor.sandbox.status import StatusError, bad_request, malformed_version, unsupported_media_type

PATCH_FORMATS: Mapping[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_merge_patch,
}

WATCH_TIMEOUT_SECONDS = (1800, 3600)
"""A watch without ``timeoutSeconds`` ends somewhere in this span, as on a real server."""


@dataclass(frozen=True)
class Selection:
    """Which objects of which resource are meant.

    :ivar namespace: None for all.
    :ivar is_narrowed: whether a selector was given.
    """

    resource: Resource
    namespace: str | None
    matches: Predicate
    is_narrowed: bool


@dataclass(frozen=True)
class WatchQuery:
    """What to watch.

    :ivar since: the version to go on from; None to start with what exists.
    :ivar ends_initial_events: mark the end of what exists by a bookmark.
    """

    selection: Selection
    since: int | None
    with_bookmarks: bool
    ends_initial_events: bool
    timeout_seconds: float


@dataclass(frozen=True)
class ListQuery:
    """What to list.

    :ivar limit: entries per page, 0 for all.
    :ivar continue_token: where to go on, "" for the start.
    :ivar version: None for the latest.
    :ivar is_exact: the list must be as of that version, not newer.
    """

    selection: Selection
    limit: int
    continue_token: str
    version: int | None
    is_exact: bool


def selection_of(resource: Resource, namespace: str | None, params: Mapping[str, str]) -> Selection:
    """Return what the selectors of a request mean.

    :raises StatusError: 400, a selector cannot be read.
    """
    labels = label_selector(params.get("labelSelector", ""))
    fields = field_selector(params.get("fieldSelector", ""), resource.plural)
    given = [predicate for predicate in (labels, fields) if predicate is not match_all]
    return Selection(resource, namespace, lambda stored: all(predicate(stored) for predicate in given), bool(given))


def watch_query(selection: Selection, params: Mapping[str, str]) -> WatchQuery:
    """Return what a watch asks for.

    :raises StatusError: 400, or 500 for a malformed version.
    """
    version = _version(params.get("resourceVersion", ""))
    sends_initial = is_true(params.get("sendInitialEvents", ""))
    if sends_initial and params.get("resourceVersionMatch") != "NotOlderThan":
        message = (
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
        raise StatusError(422, "Invalid", message)
    asked = _number(params, "timeoutSeconds")
    bookmarks = is_true(params.get("allowWatchBookmarks", ""))
    return WatchQuery(
        selection,
        since=None if sends_initial or not version else version,
        with_bookmarks=bookmarks,
        ends_initial_events=sends_initial and bookmarks,
        timeout_seconds=asked or random.uniform(*WATCH_TIMEOUT_SECONDS),
    )


def list_query(selection: Selection, params: Mapping[str, str]) -> ListQuery:
    """Return what a list asks for.

    :raises StatusError: 400, or 500 for a malformed version.
    """
    return ListQuery(
        selection,
        limit=_number(params, "limit"),
        continue_token=params.get("continue", ""),
        version=_version(params.get("resourceVersion", "")),
        is_exact=params.get("resourceVersionMatch") == "Exact",
    )


def deletion_of(params: Mapping[str, str], options: Any) -> Deletion:
    """Return how to delete, from the query and the DeleteOptions body (either may be missing).

    :raises StatusError: 400.
    """
    options = options if isinstance(options, dict) else {}
    grace = options.get("gracePeriodSeconds")
    if grace is None and "gracePeriodSeconds" in params:
        grace = _number(params, "gracePeriodSeconds")
    preconditions = options.get("preconditions") or {}
    return Deletion(
        grace_seconds=grace,
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
    )


def apply_patch(content_type: str, stored: Object, patch: Any) -> Object:
    """Return the object with a patch of the format that the content type names applied to it.

    :raises StatusError: 400, 415 or 422.
    """
    media_type = content_type.partition(";")[0].strip()
    apply = PATCH_FORMATS.get(media_type)
    if apply is None:
        raise unsupported_media_type(media_type, sorted(PATCH_FORMATS))
    patched = apply(stored, patch)
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
        raise bad_request("the patched object is not an object with metadata")
    return patched


def wants_metadata_only(accept: str) -> bool:
    """Whether the Accept header asks for objects without spec and status."""
    first = accept.partition(",")[0]
    return "as=PartialObjectMetadata" in first


def is_true(text: str) -> bool:
    """Read a boolean parameter."""
    return text in {"1", "t", "T", "true", "True", "TRUE"}


def _version(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise malformed_version(text)
    return int(text)


def _number(params: Mapping[str, str], name: str) -> int:
    text = params.get(name, "")
    try:
        return int(text or 0)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
