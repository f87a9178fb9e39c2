"""The last lines that a container wrote before it failed, read before its pod is deleted.

Promises: the watch never waits for a log. If a read fails, or takes longer than :data:`READ_SECONDS`, the verdict has
no lines. Lines and bytes are limited, and tokens are hidden.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.watch.decision import Sighting
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.masking import make_fit
from hybrid_executor.kube.warm_pod import without_hand_over

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
_READ_LINES = 20
_READ_BYTES = 16_384
_SHOWN_LINES = 10
_SHOWN_CHARACTERS = 2_000
_CUT = "..."
_NOTHING_WRITTEN = frozenset({"StartError", "ContainerCannotRun", "ContainerStatusUnknown"})


@dataclass(slots=True)
class _Reading:
    sighting: Sighting
    give_up_at: float
    lines: str | None = None


class LogTails:
    """Log reads of one watcher. Call :meth:`put` and :meth:`ready` in the watcher's thread only."""

    def __init__(self, client: KubeClient, pool: DelayedPool) -> None:
        self._client = client
        self._pool = pool
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}

    def holds(self, seen: Sighting) -> bool:
        """Return whether the verdict about the pod with this uid waits for its log; the first settled one counts."""
        reading = self._readings.get(seen.identity.path)
        if reading is None or seen.identity.uid not in ("", reading.sighting.identity.uid):
            return False
        if seen.diagnosis.is_settled and not reading.sighting.diagnosis.is_settled:
            reading.sighting = seen
        return True

    def put(self, seen: Sighting, *, now: float) -> None:
        """Start to read the last lines of the failed container.

        :param now: monotonic seconds.
        """
        reading = _Reading(seen, now + READ_SECONDS)
        self._readings[seen.identity.path] = reading
        self._pool.submit(lambda: self._read(reading))

    def ready(self, *, now: float) -> list[tuple[Sighting, str]]:
        """Return the pods whose log was read, or whose time is over, with the lines; they stay until :meth:`forget`."""
        with self._lock:
            return [
                (reading.sighting, reading.lines or "")
                for reading in self._readings.values()
                if reading.lines is not None or now >= reading.give_up_at
            ]

    def forget(self, seen: Sighting) -> None:
        """Forget a pod: its verdict is recorded."""
        self._readings.pop(seen.identity.path, None)

    def _read(self, reading: _Reading) -> None:
        seen = reading.sighting
        seconds = reading.give_up_at - time.monotonic()
        text = ""
        if seconds > 0:
            try:
                text = self._client.read_pod_log(
                    seen.identity.namespace,
                    seen.identity.name,
                    container=seen.diagnosis.container,
                    tail_lines=_READ_LINES,
                    most_bytes=_READ_BYTES,
                    seconds=seconds,
                )
            except KubeError as error:
                log.debug("The last lines of pod %s cannot be read: %s", seen.identity.path, error)
        with self._lock:
            reading.lines = shorten(without_hand_over(text))


def wants_log(seen: Sighting) -> bool:
    """Return whether a container of this pod failed after it had run, and its log can still be read."""
    diagnosis = seen.diagnosis
    return (
        diagnosis.phase == "failed"
        and diagnosis.exit_code is not None
        and bool(diagnosis.container)
        and diagnosis.reason not in _NOTHING_WRITTEN
        and diagnosis.category is not Category.NOT_HANDED_OVER
        and not seen.is_gone
    )


def shorten(text: str) -> str:
    """Return the last lines of ``text``, at most ten and 2,000 characters, without tokens."""
    lines = [line.rstrip() for line in make_fit(text).splitlines() if line.strip()]
    shown = "\n".join(lines[-_SHOWN_LINES:])
    return shown if len(shown) <= _SHOWN_CHARACTERS else _CUT + shown[len(_CUT) - _SHOWN_CHARACTERS :]


def with_lines(words: str, *, container: str, lines: str) -> str:
    """Return a reason followed by the container's last lines, unless the reason has them already."""
    if not lines or " ".join(lines.split()) in words:
        return words
    return f"{words}\nLast lines of container {container}:\n{lines}"
