"""Which namespaces take no new pods at the moment (quota, termination): the others go on.

Promises: while a namespace is closed, one launch at a time tries whether it is open again; the rest wait without asking
the API server.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hybrid_executor.kube.publish import backoff_seconds

_PROBE_SECONDS = 45.0  # longer than a call's deadline: a probe that never reports back is forgotten
_QUEUE_SECONDS = 0.5  # how often those that wait behind a probe look again


@dataclass
class _Closure:
    until: float
    failures: int
    reason: str
    is_probed: bool = False


class NamespaceGate:
    """Closed namespaces of one cluster. Safe for several threads; times are seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closures: dict[str, _Closure] = {}

    def admit(self, namespace: str, *, now: float) -> float:
        """Return 0 where a launch may go on, else after how many seconds to ask again.

        Who is admitted must report back with :meth:`open` or :meth:`close`.
        """
        with self._lock:
            closure = self._closures.get(namespace)
            if closure is None:
                return 0.0
            if now < closure.until:
                return _QUEUE_SECONDS if closure.is_probed else closure.until - now
            closure.is_probed = True
            closure.until = now + _PROBE_SECONDS
            return 0.0

    def wait_seconds(self, namespace: str, *, now: float) -> float:
        """Return after how many seconds a launch may ask to be admitted: 0 for at once."""
        with self._lock:
            closure = self._closures.get(namespace)
            if closure is None or now >= closure.until:
                return 0.0
            return _QUEUE_SECONDS if closure.is_probed else closure.until - now

    def reason(self, namespace: str) -> str:
        """Return why a namespace is closed, "" for an open one."""
        with self._lock:
            closure = self._closures.get(namespace)
            return closure.reason if closure else ""

    def open(self, namespace: str) -> bool:
        """A pod was created, or refused for its own sake: let all launches go on; return whether it was closed."""
        with self._lock:
            return self._closures.pop(namespace, None) is not None

    def close(self, namespace: str, *, reason: str, retry_after: float, jitter: float, now: float) -> float:
        """Nothing can be created now: close for a time that doubles with each failed try; return the seconds."""
        with self._lock:
            closure = self._closures.get(namespace)
            if closure is not None and not closure.is_probed:
                # Launches that were under way when it closed say nothing new.
                return max(0.0, closure.until - now)
            failures = closure.failures + 1 if closure else 1
            seconds = backoff_seconds(failures, jitter=jitter, retry_after=retry_after)
            self._closures[namespace] = _Closure(now + seconds, failures, reason)
            return seconds
