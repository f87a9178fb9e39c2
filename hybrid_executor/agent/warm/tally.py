"""How often attempts got a waiting pod on this agent, and where it may not attach. Safe for several threads."""

from __future__ import annotations

import threading
from collections import Counter

from hybrid_executor.backoff import DENIED
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric


class WarmTally:
    """Hits and misses of one cluster, since the agent's start."""

    def __init__(self, *, cluster: str, metrics: Metrics = SILENT) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._lock = threading.Lock()
        self._hits: Counter[str] = Counter()
        self._misses: dict[str, Counter[str]] = {}
        self._forbidden_until: dict[str, float] = {}

    def hit(self, profile: str, *, seconds: float) -> None:
        """Count a hand-over that took ``seconds``."""
        with self._lock:
            self._hits[profile] += 1
        self._metrics.count(metric.WARM_HITS, cluster=self._cluster, profile=profile)
        self._metrics.time(metric.WARM_HAND_OVER_TIME, seconds, cluster=self._cluster, profile=profile)

    def miss(self, profile: str, reason: str) -> None:
        """Count an attempt that gets, or needs, a pod of its own."""
        with self._lock:
            self._misses.setdefault(profile, Counter())[reason] += 1
        self._metrics.count(metric.WARM_MISSES, cluster=self._cluster, profile=profile, reason=reason)

    def forbid(self, namespace: str, *, now: float) -> None:
        """Note that the right to attach is missing in a namespace. It counts as missing for some time."""
        with self._lock:
            self._forbidden_until[namespace] = now + DENIED.first_seconds

    def is_forbidden(self, namespace: str, *, now: float) -> bool:
        """Return whether the right to attach was missing a moment ago (monotonic seconds)."""
        with self._lock:
            return now < self._forbidden_until.get(namespace, 0.0)

    def seen(self) -> dict[str, dict[str, object]]:
        """Return hits and misses by profile, for the agent's announcement."""
        with self._lock:
            return {
                profile: {"hits": self._hits[profile], "misses": dict(self._misses.get(profile, {}))}
                for profile in sorted({*self._hits, *self._misses})
            }
