"""The output of containers: one file per container and restart, kept until the pod is deleted.

Standard output and standard error go to the same file. Lines have no times, so ``timestamps`` and ``sinceSeconds`` are
ignored.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid_executor.sandbox.objects import Object, name_of
from hybrid_executor.sandbox.queries import is_true
from hybrid_executor.sandbox.status import bad_request

FOLLOW_POLL_SECONDS = 0.05
IMAGE_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName"})


@dataclass(frozen=True)
class LogQuery:
    """Which log to read.

    :ivar tail_lines: only the last lines, None for all.
    :ivar limit_bytes: only the first bytes of the rest; None for all.
    """

    container: str
    is_previous: bool
    follow: bool
    tail_lines: int | None
    limit_bytes: int | None


def log_query(pod: Object, params: Mapping[str, str]) -> LogQuery:
    """Return what a log request asks for.

    :raises StatusError: 400.
    """
    return LogQuery(
        container=_container_of(pod, params.get("container", "")),
        is_previous=is_true(params.get("previous", "")),
        follow=is_true(params.get("follow", "")),
        tail_lines=_number(params, "tailLines"),
        limit_bytes=_number(params, "limitBytes"),
    )


def restart_to_read(pod: Object, query: LogQuery) -> int:
    """Return which run of the container has the log that is asked for (0 is the first).

    :raises StatusError: 400, there is no such log (yet).
    """
    status = _status_of(pod, query.container)
    restarts: int = status.get("restartCount", 0)
    where = f'container "{query.container}" in pod "{name_of(pod)}"'
    if query.is_previous:
        if "terminated" not in status.get("lastState", {}):
            raise bad_request(f"previous terminated {where} not found")
        return restarts - 1
    waiting = (status.get("state") or {}).get("waiting")
    if waiting is None and status:
        return restarts
    if "terminated" in status.get("lastState", {}):
        return restarts - 1
    reason = (waiting or {}).get("reason", "ContainerCreating")
    if reason in IMAGE_TROUBLE:
        reason = "trying and failing to pull image"
    raise bad_request(f"{where} is waiting to start: {reason}")


def is_running(pod: Object, container: str) -> bool:
    """Whether the container may still print."""
    return "running" in _status_of(pod, container).get("state", {})


def _status_of(pod: Object, container: str) -> Object:
    status = pod["status"]
    entries = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((entry for entry in entries if entry["name"] == container), {})


def _container_of(pod: Object, asked: str) -> str:
    spec = pod["spec"]
    names = [container["name"] for container in spec["containers"]]
    others = [container["name"] for container in spec.get("initContainers", [])]
    if asked:
        if asked not in (*names, *others):
            raise bad_request(f"container {asked} is not valid for pod {name_of(pod)}")
        return asked
    if len(names) > 1:
        choices = f"choose one of: [{' '.join(names)}]"
        if others:
            choices += f" or one of the init containers: [{' '.join(others)}]"
        raise bad_request(f"a container name must be specified for pod {name_of(pod)}, {choices}")
    return str(names[0])


def _number(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


class LogStore:
    """The log files of all pods.

    :param directory: where they are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path_of(self, pod_uid: str, container: str, restart: int) -> Path:
        """Return the file of one run of one container; its directory exists afterwards."""
        folder = self._directory / pod_uid
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{container}.{restart}.log"

    def forget(self, pod_uid: str) -> None:
        """Remove a pod's logs; none is no error."""
        shutil.rmtree(self._directory / pod_uid, ignore_errors=True)

    async def read(self, pod: Object, query: LogQuery, *, is_printing: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield the log, and if it is followed, what comes until nothing can come any more.

        :param is_printing: whether the container still runs.
        :raises StatusError: 400 at the first step, there is no such log.
        """
        path = self.path_of(pod["metadata"]["uid"], query.container, restart_to_read(pod, query))
        left = query.limit_bytes
        offset = 0
        while True:
            was_printing = query.follow and not query.is_previous and is_printing()
            content = read_from(path, offset)
            shown = _tail(content, query.tail_lines) if offset == 0 else content
            offset += len(content)
            if left is not None:
                shown = shown[:left]
                left -= len(shown)
            if shown:
                yield shown
            if not was_printing or left == 0:
                return
            await asyncio.sleep(FOLLOW_POLL_SECONDS)


def read_from(path: Path, offset: int) -> bytes:
    """Return what a log holds from an offset in bytes on; nothing of a log that is not there yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _tail(content: bytes, lines: int | None) -> bytes:
    if lines is None:
        return content
    if lines == 0:
        return b""
    return b"".join(content.splitlines(keepends=True)[-lines:])
