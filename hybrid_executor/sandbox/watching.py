"""Watches: the stream of one client, from a version or from what exists.

Each watch reads the cluster's history from its own position, so a slow client does not delay others, and no event is
sent twice or out of order. Tests use :class:`WatchSwitch` to disturb running watches.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.history import Change, encode
from hybrid_executor.sandbox.listing import partial
from hybrid_executor.sandbox.objects import Object, Resource, with_metadata
from hybrid_executor.sandbox.queries import Selection, WatchQuery
from hybrid_executor.sandbox.status import StatusError

BOOKMARK_SECONDS = 60.0
"""How often a watch that asks for bookmarks gets one."""

STALL_POLL_SECONDS = 0.5
"""How soon a stalled watch notices, without a write, that it is over."""


class WatchSwitch:
    """Disturbances of all watches, for tests. Changed in the event loop only.

    :ivar are_stalled: watches stay open and send nothing.
    :ivar copies: how often each event is sent.
    :ivar replays: how many times a replay was asked for.
    :ivar replay_count: how many of the newest changes a replay sends again.
    """

    def __init__(self) -> None:
        self.are_stalled = False
        self.copies = 1
        self.replays = 0
        self.replay_count = 0


def event_type(change: Change, selection: Selection) -> str:
    """Return how a watch with this selection sees the change: "" for not at all.

    An object that a change moves into the selection is ADDED, one that it moves out is DELETED.
    """
    if selection.namespace is not None and change.key[0] != selection.namespace:
        return ""
    matched = change.before is not None and selection.matches(change.before)
    matches = change.after is not None and selection.matches(change.after)
    if matches:
        return "MODIFIED" if matched else "ADDED"
    return "DELETED" if matched else ""


class Watch:
    """One client's watch.

    :param bookmark_seconds: how often a bookmark is sent to a client that asks for them.
    """

    def __init__(
        self,
        cluster: Cluster,
        switch: WatchSwitch,
        query: WatchQuery,
        *,
        metadata_only: bool = False,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._switch = switch
        self._query = query
        self._resource = query.selection.resource
        self._metadata_only = metadata_only
        self._bookmark_seconds = bookmark_seconds
        self._bookmarked = -1
        self._replays = switch.replays

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the lines of the answer until the watch's time is over or its version is too old.

        A resource version in the future is waited for, as recorded; 410 is an ERROR event that ends the stream.
        """
        ends_at = time.monotonic() + self._query.timeout_seconds
        bookmark_at = time.monotonic() + self._bookmark_seconds
        cursor = self._cluster.version if self._query.since is None else self._query.since
        if self._query.since is None and not self._switch.are_stalled:
            yield b"".join(self._initial_lines(cursor))
        while (now := time.monotonic()) < ends_at:
            if self._switch.are_stalled:
                await self._cluster.wait(min(ends_at - now, STALL_POLL_SECONDS))
                continue
            try:
                changes = self._cluster.changes_after(self._resource, cursor)
            except StatusError as error:
                yield error_line(error)
                return
            if changes:
                cursor = changes[-1].version
            if lines := self._lines(changes):
                yield lines
                continue
            if self._query.with_bookmarks and now >= bookmark_at:
                bookmark_at = now + self._bookmark_seconds
                yield self._bookmark(max(cursor, self._cluster.version))
            until = min(ends_at, bookmark_at) if self._query.with_bookmarks else ends_at
            await self._cluster.wait(max(until - now, 0.001))
        if self._query.with_bookmarks and not self._switch.are_stalled and self._bookmarked < cursor:
            yield self._bookmark(cursor)

    def _initial_lines(self, version: int) -> Iterable[bytes]:
        selection = self._query.selection
        for stored in self._cluster.select(self._resource, selection.namespace):
            if selection.matches(stored):
                shown = partial(stored) if self._metadata_only else self._resource.typed(stored)
                yield _line("ADDED", encode(shown))
        if self._query.ends_initial_events:
            yield self._bookmark(version, {"k8s.io/initial-events-end": "true"})

    def _lines(self, changes: list[Change]) -> bytes:
        copies = self._switch.copies
        lines = [line for change in changes for line in [self._change_line(change)] * copies]
        if self._switch.replays != self._replays:
            self._replays = self._switch.replays
            again = self._cluster.latest_changes(self._resource, self._switch.replay_count)
            lines.extend(self._change_line(change) for change in again)
        return b"".join(lines)

    def _change_line(self, change: Change) -> bytes:
        kind = event_type(change, self._query.selection)
        if not kind:
            return b""
        state = _left_behind(change) if kind == "DELETED" else change.state
        if self._metadata_only:
            return _line(kind, encode(partial(state)))
        if state is change.state:
            return _line(kind, change.encoded())
        return _line(kind, encode(self._resource.typed(state)))

    def _bookmark(self, version: int, annotations: Object | None = None) -> bytes:
        self._bookmarked = version
        metadata: Object = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        return _line("BOOKMARK", encode(_bookmark_object(self._resource, metadata, self._metadata_only)))


def _left_behind(change: Change) -> Object:
    """Return what a watch that loses sight of an object is shown: the last it saw, at the version of the change."""
    if change.after is None or change.before is None:
        return change.state
    return with_metadata(change.before, {"resourceVersion": str(change.version)})


def error_line(error: StatusError) -> bytes:
    """Return the refusal as an ERROR event."""
    return _line("ERROR", encode(error.body()))


def _bookmark_object(resource: Resource, metadata: Object, metadata_only: bool) -> Object:
    if metadata_only:
        return partial({"metadata": metadata})
    empty: Object = {"metadata": metadata}
    if resource.plural == "pods":
        empty |= {"spec": {"containers": None}, "status": {}}
    return resource.typed(empty)


def _line(kind: str, encoded: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded)
