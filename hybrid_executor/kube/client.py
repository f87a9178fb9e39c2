"""The requests that this project makes of Kubernetes, each one method, all as plain dicts.

Promises: a method returns what the API said or raises a KubeError; "could not ask" is never an empty answer. Every
method may be called from several threads. The verbs used here are all that the agent's role needs: pods create, get,
list, watch, patch, delete; pods/log get; events list; with warm pods also pods/attach get and create.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, overload
from urllib.parse import quote

import msgspec

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable
from hybrid_executor.kube.attach import Answer, write_line
from hybrid_executor.kube.connection import open_transport
from hybrid_executor.kube.node_words import without_node_words
from hybrid_executor.kube.transport import RawStream, Transport

DEFAULT_PAGE_SIZE = 500
DEFAULT_WATCH_SECONDS = 600
DEFAULT_LOG_BYTES = 1_048_576
DEFAULT_LOG_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class PodList:
    """Pods at one version.

    :ivar items: raw pods.
    :ivar resource_version: a watch from here misses nothing.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    resource_version: str


def connect(
    settings: KubernetesSettings,
    *,
    context: str | None = None,
    config_file: str | None = None,
    in_cluster: bool | None = None,
) -> KubeClient:
    """Return a client of the configured cluster, or of the one that the arguments name. Nothing is sent yet.

    :raises ConfigError: the connection's configuration cannot be loaded.
    """
    transport = open_transport(settings, context=context, config_file=config_file, in_cluster=in_cluster)
    return KubeClient(transport, query=settings.request_query, delete_options=settings.delete_options)


class KubeClient:
    """One API server. Each call is one request (lists: one a page), with a deadline, and is not repeated.

    :param query: query parameters sent with every call but patches and log reads.
    :param delete_options: fields of DeleteOptions for every deletion.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        query: tuple[tuple[str, str], ...] = (),
        delete_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.transport = transport
        self._query = dict(query)
        self._delete_options = dict(delete_options or {})

    @property
    def host(self) -> str:
        """The API server's address."""
        return self.transport.host

    @property
    def server_time(self) -> datetime | None:
        """The time on the API server's clock at its last answer, None before. Ages of pods are measured by it."""
        return self.transport.server_time

    def close(self) -> None:
        """Drop idle connections; the client may still be used."""
        self.transport.close()

    def ask(self, method: str, path: str, *, doing: str, **rest: Any) -> dict[str, Any]:
        """Send any other request, and return its answer; arguments as those of the transport's ``call``."""
        return self._json(method, path, doing=doing, **rest)

    def create_pod(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod and return it. A name that exists is a KubeError with reason AlreadyExists."""
        name = manifest.get("metadata", {}).get("name", "")
        return self._json(
            "POST", _pods(namespace), doing=f"create pod {namespace}/{name}", query=self._query, body=manifest
        )

    def dry_run_pod(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Let the server check a pod strictly, without creating it.

        :raises KubeError: it would refuse the pod, or one of the fields is unknown; with the server's own message.
        """
        name = manifest.get("metadata", {}).get("name", "")
        query = {**self._query, "dryRun": "All", "fieldValidation": "Strict"}
        self._json("POST", _pods(namespace), doing=f"check pod {namespace}/{name}", query=query, body=manifest)

    def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a pod; one that does not exist is a KubeError with status 404."""
        return self._json("GET", _pod(namespace, name), doing=f"get pod {namespace}/{name}", query=self._query)

    def delete_pod(
        self,
        namespace: str,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
        version: str | None = None,
    ) -> bool:
        """Delete a pod. Repeatable: a pod that does not exist is no error.

        :param uid: delete only the pod with this uid, not a later one of the same name.
        :param version: delete it only if nobody has changed it since this resourceVersion.
        :return: whether there was such a pod.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", **self._delete_options}
        if grace_period_seconds is not None:
            body["gracePeriodSeconds"] = grace_period_seconds
        conditions = {"uid": uid, "resourceVersion": version}
        if uid or version:
            body["preconditions"] = {name: value for name, value in conditions.items() if value}
        try:
            self.transport.call(
                "DELETE",
                _pod(namespace, name),
                doing=f"delete pod {namespace}/{name}",
                query=self._query,
                body=body,
            )
        except KubeError as exc:
            # 409 on our precondition: the name belongs to another pod now, so the pod we meant is gone.
            if exc.status == 404 or ((uid or version) and exc.status == 409 and "precondition" in str(exc)):
                return False
            raise
        return True

    def patch_pod(
        self, namespace: str, name: str, patch: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Apply a merge patch (None removes a key), or a JSON patch (a list of operations), and return the pod."""
        return self._json(
            "PATCH",
            _pod(namespace, name),
            doing=f"patch pod {namespace}/{name}",
            body=patch,
            content_type=f"application/{'merge' if isinstance(patch, Mapping) else 'json'}-patch+json",
        )

    def write_line(
        self, namespace: str, name: str, *, container: str, line: str, is_answer: Callable[[str], bool], seconds: float
    ) -> Answer:
        """Write a line to a container's standard input and wait for its answer; see :func:`attach.write_line`.

        :raises KubeError: nothing was written.
        """
        return write_line(
            self.transport,
            _pod(namespace, name),
            container=container,
            line=line,
            is_answer=is_answer,
            seconds=seconds,
            doing=f"attach to pod {namespace}/{name}",
        )

    def list_pods(
        self,
        namespace: str | None,
        label_selector: str,
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> PodList:
        """Return all pods of a namespace (None: of the cluster) that the selector matches, read page by page.

        A page whose snapshot has expired (410) starts the list once more from its beginning.

        :raises KubeGone: it expired the second time too.
        """
        try:
            return self._list_once(namespace, label_selector, page_size=page_size)
        except KubeGone:
            return self._list_once(namespace, label_selector, page_size=page_size)

    def list_pod_pages(
        self,
        namespace: str | None,
        label_selector: str,
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
    ) -> Iterator[PodList]:
        """Yield the pods of :meth:`list_pods` page by page, all of one version, for lists too large to be held whole.

        :raises KubeGone: a page's snapshot has expired: begin again.
        """
        query = {**self._query, "limit": str(page_size)}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = self._json(
                "GET",
                _pods(namespace),
                doing=f"list pods of {namespace or 'all namespaces'}",
                query=query,
            )
            metadata = page["metadata"]
            yield PodList(items=page.get("items") or [], resource_version=str(metadata.get("resourceVersion", "")))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    def watch_pods(
        self,
        namespace: str | None,
        label_selector: str,
        resource_version: str,
        *,
        silence_seconds: float,
        timeout_seconds: int = DEFAULT_WATCH_SECONDS,
    ) -> RawStream:
        """Open a watch and return its stream, one JSON event a line. What the lines mean is decided in ``watch``.

        :param silence_seconds: no data for so long breaks the stream.
        :param timeout_seconds: the server ends the watch cleanly after so long.
        :raises KubeGone: the version is too old (it may also come as an ERROR event in the stream).
        """
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        if label_selector:
            query["labelSelector"] = label_selector
        return self.transport.stream(
            _pods(namespace),
            doing=f"watch pods of {namespace or 'all namespaces'}",
            query=query,
            silence_seconds=silence_seconds,
        )

    @overload
    def read_pod_log(
        self,
        namespace: str,
        name: str,
        *,
        container: str,
        tail_lines: int | None,
        follow: Literal[False] = False,
        most_bytes: int = DEFAULT_LOG_BYTES,
        seconds: float = DEFAULT_LOG_SECONDS,
        first_bytes: int | None = None,
    ) -> str: ...

    @overload
    def read_pod_log(
        self,
        namespace: str,
        name: str,
        *,
        container: str,
        tail_lines: int | None,
        follow: Literal[True],
        silence_seconds: float = 300.0,
    ) -> Iterator[str]: ...

    def read_pod_log(
        self,
        namespace: str,
        name: str,
        *,
        container: str,
        tail_lines: int | None,
        follow: bool = False,
        silence_seconds: float = 300.0,
        most_bytes: int = DEFAULT_LOG_BYTES,
        seconds: float = DEFAULT_LOG_SECONDS,
        first_bytes: int | None = None,
    ) -> str | Iterator[str]:
        """Return the last ``tail_lines`` lines of a container's log (None: all), "" before there are any.

        Lines may be of any length, so the last lines are bounded in bytes too: where they are more than ``most_bytes``,
        fewer are read, and of one line that is longer only its beginning. Nothing is read for longer than ``seconds``.
        Without ``tail_lines``, ``first_bytes`` limits what is read of a long log, from its beginning. An error that the
        node has put at the end of its answer is left out.
        With ``follow``: lines without their newline, as they come, until the container ends; KubeUnavailable after
        ``silence_seconds`` without a line.
        """
        path = _pod(namespace, name) + "/log"
        query = {"container": container}
        doing = f"read log of pod {namespace}/{name}"
        if tail_lines is not None and not follow:
            return without_node_words(
                self._read_tail(path, query, lines=tail_lines, most_bytes=most_bytes, seconds=seconds, doing=doing)
            )
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        if first_bytes is not None:
            query["limitBytes"] = str(first_bytes)
        if not follow:
            read = self.transport.call("GET", path, doing=doing, query=query, accept="*/*")
            return without_node_words(read.decode("utf-8", "replace"))
        stream = self.transport.stream(
            path, doing=doing, query={**query, "follow": "true"}, silence_seconds=silence_seconds, accept="*/*"
        )
        return (line.decode("utf-8", "replace") for line in stream.lines())

    def _read_tail(
        self, path: str, query: Mapping[str, str], *, lines: int, most_bytes: int, seconds: float, doing: str
    ) -> str:
        """Return last lines of a log within ``most_bytes``. The API's own limit keeps the first bytes, not the last."""
        ends_at = time.monotonic() + seconds
        while True:
            asked = {**query, "tailLines": str(lines), "limitBytes": str(most_bytes + 1)}
            read = self._read_up_to(path, asked, most_bytes=most_bytes, ends_at=ends_at, doing=doing)
            if len(read) <= most_bytes or lines <= 1:
                return read[:most_bytes].decode("utf-8", "replace")
            lines = max(1, lines // 2)

    def _read_up_to(self, path: str, query: Mapping[str, str], *, most_bytes: int, ends_at: float, doing: str) -> bytes:
        """Return an answer's first bytes, at least one more than ``most_bytes`` where there are more."""
        seconds = max(ends_at - time.monotonic(), 0.1)
        stream = self.transport.stream(path, doing=doing, query=query, silence_seconds=seconds, accept="*/*")
        read = bytearray()
        try:
            for chunk in stream.chunks():
                read += chunk
                if len(read) > most_bytes:
                    break
                if time.monotonic() > ends_at:
                    raise KubeUnavailable(f"{doing}: not read in time")
        finally:
            stream.stop()
        return bytes(read)

    def list_pod_events(self, namespace: str, pod_name: str) -> list[dict[str, Any]]:
        """Return the cluster's events about a pod (FailedScheduling, Pulling, Killing, ...), oldest first."""
        answer = self._json(
            "GET",
            f"/api/v1/namespaces/{quote(namespace, safe='')}/events",
            doing=f"list events of pod {namespace}/{pod_name}",
            query={**self._query, "fieldSelector": f"involvedObject.kind=Pod,involvedObject.name={pod_name}"},
        )
        return sorted(
            answer.get("items") or [],
            key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""),
        )

    def _list_once(self, namespace: str | None, label_selector: str, *, page_size: int) -> PodList:
        items: list[dict[str, Any]] = []
        version = ""
        for page in self.list_pod_pages(namespace, label_selector, page_size=page_size):
            items.extend(page.items)
            version = page.resource_version
        return PodList(items=items, resource_version=version)

    def _json(self, method: str, path: str, *, doing: str, **rest: Any) -> dict[str, Any]:
        body = self.transport.call(method, path, doing=doing, **rest)
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError as exc:
            raise KubeError(f"{doing}: the answer of {self.host} is not JSON: is it a Kubernetes API?") from exc
        if not isinstance(answer, dict):
            raise KubeError(f"{doing}: the answer of {self.host} is not an object: is it a Kubernetes API?")
        return answer


def _pods(namespace: str | None) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods" if namespace else "/api/v1/pods"


def _pod(namespace: str, name: str) -> str:
    return f"{_pods(namespace)}/{quote(name, safe='')}"
