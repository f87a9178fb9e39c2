"""The events of one watch of pods.

Promises: events are the API server's own (``{"type": ..., "object": ...}``), bookmarks included, in its order; a watch
that ended cleanly just ends; everything else is raised while iterating. It never waits and never tries again: the
caller decides what to do after an end or an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from hybrid_executor.errors import KubeUnavailable
from hybrid_executor.kube.client import DEFAULT_WATCH_SECONDS, KubeClient
from hybrid_executor.kube.failures import error_of_status
from hybrid_executor.kube.transport import RawStream

Event = dict[str, Any]

# Half the time of the standard library's parser. Parsing is the main cost of an event. Airflow installs msgspec.
_parse = msgspec.json.Decoder().decode

# A bookmark comes about once a minute, so a live stream is never silent for longer.
DEFAULT_SILENCE_SECONDS = 70.0


class WatchHandle:
    """Ends watches from another thread. Once stopped it stays stopped: watches given to it later end at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[RawStream] = set()
        self._stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """End all watches that were given this handle, even while they wait for data. Repeatable, never waits."""
        with self._lock:
            self._stopped = True
            streams = list(self._streams)
        for stream in streams:
            stream.stop()

    def _add(self, stream: RawStream) -> None:
        with self._lock:
            self._streams.add(stream)
            stopped = self._stopped
        if stopped:
            stream.stop()

    def _remove(self, stream: RawStream) -> None:
        with self._lock:
            self._streams.discard(stream)


def watch_once(
    client: KubeClient,
    namespace: str | None,
    selector: str,
    resource_version: str,
    *,
    silence_seconds: float = DEFAULT_SILENCE_SECONDS,
    timeout_seconds: int = DEFAULT_WATCH_SECONDS,
    handle: WatchHandle | None = None,
) -> Iterator[Event]:
    """Yield the events after ``resource_version`` until the server or ``handle`` ends the watch.

    The request is made when iteration begins. To resume, use the ``resourceVersion`` of the last event's object.

    :param namespace: None for all namespaces.
    :param silence_seconds: a stream without any event or bookmark for so long counts as broken.
    :param timeout_seconds: the server ends the watch after so long.
    :raises KubeGone: the version is too old: list again.
    :raises KubeUnavailable: the stream broke, went silent or was refused: resume from the last version, after a pause.
    :raises KubeError: anything else, such as missing rights.
    """
    if handle is not None and handle.is_stopped:
        return
    stream = client.watch_pods(
        namespace, selector, resource_version, silence_seconds=silence_seconds, timeout_seconds=timeout_seconds
    )
    if handle is not None:
        handle._add(stream)
    try:
        for line in stream.lines():
            if line:
                yield _decode(line)
    finally:
        stream.stop()
        if handle is not None:
            handle._remove(stream)


def _decode(line: bytes) -> Event:
    try:
        event: Event = _parse(line)
    except msgspec.DecodeError as exc:
        raise KubeUnavailable(f"watch pods: the stream was cut inside an event ({len(line)} bytes)") from exc
    if event.get("type") == "ERROR":
        raise error_of_status("watch pods", event.get("object") or {})
    return event
