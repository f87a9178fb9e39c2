"""How a metric of the table becomes a call of Airflow's stats.

Promises: no method raises, whatever the backend does. Counters are added up and sent by :meth:`Metrics.flush`.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hybrid_executor.metrics.table import Metric

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 60.0
_UNSAFE = re.compile(r"[^A-Za-z0-9_./-]")
_LONGEST_VALUE = 60

TEAM_TAG = "team_name"
"""As in Airflow's own metrics of executors."""


class Stats(Protocol):
    """What is used of Airflow's stats."""

    def incr(self, stat: str, count: int, *, tags: dict[str, Any] | None) -> None:
        """Add to a counter."""

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None) -> None:
        """Set a gauge."""

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None) -> None:
        """Add a duration in milliseconds."""


class Metrics:
    """Sends the metrics of one process. Safe for several threads.

    :param stats: Airflow's stats, ``None`` where its metrics are off.
    :param has_tags: the backend knows tags. Otherwise their values become parts of the name.
    :param team: becomes the last tag of every metric, with Airflow's name for it; "" for no such tag.
    """

    def __init__(
        self,
        stats: Stats | None = None,
        *,
        has_tags: bool = False,
        team: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_on = stats is not None
        self._stats = stats
        self._has_tags = has_tags
        self._of_team = {TEAM_TAG: team} if team else {}
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[Metric, tuple[str, ...]]] = Counter()
        self._closed_until = float("-inf")

    def count(self, metric: Metric, amount: int = 1, **tags: str) -> None:
        """Add to a counter."""
        if self.is_on and amount:
            values = tuple(tags.values())
            with self._lock:
                self._counts[metric, values] += amount

    def time(self, metric: Metric, seconds: float, **tags: str) -> None:
        """Send a duration."""
        if self.is_on:
            self._send(
                lambda stats, name, known: stats.timing(name, max(0.0, seconds) * 1000, tags=known), metric, tags
            )

    def gauge(self, metric: Metric, value: float, **tags: str) -> None:
        """Set a gauge."""
        if self.is_on:
            self._send(lambda stats, name, known: stats.gauge(name, value, tags=known), metric, tags)

    def flush(self) -> None:
        """Send the counters that have risen."""
        if not self._counts:
            return
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for (metric, values), amount in counts.items():
            tags = dict(zip(metric.tags, values, strict=False))
            self._send(lambda stats, name, known, by=amount: stats.incr(name, by, tags=known), metric, tags)  # type: ignore[misc]

    def _send(
        self, send: Callable[[Stats, str, dict[str, Any] | None], None], metric: Metric, tags: Mapping[str, str]
    ) -> None:
        if self._stats is None or self._clock() < self._closed_until:
            return
        tags = {**tags, **self._of_team}
        try:
            if self._has_tags:
                send(self._stats, metric.name, {name: cleaned(value) for name, value in tags.items()} or None)
            else:
                # As Airflow does in its own names of this form: a dot in a value is no level of the name.
                parts = [metric.name, *(cleaned(value).replace(".", "__") for value in tags.values())]
                send(self._stats, ".".join(parts), None)
        except Exception as error:  # noqa: BLE001 - no task waits or fails because a number cannot be sent
            log.warning(
                "Metrics cannot be sent, trying again in %.0f s; check section [metrics] of the configuration: %s",
                _PAUSE_SECONDS,
                f"{type(error).__name__}: {error}",
            )
            self._closed_until = self._clock() + _PAUSE_SECONDS


SILENT = Metrics()
"""Sends nothing."""


def cleaned(value: str) -> str:
    """Return a tag's value as every backend accepts it: letters, digits and ``_ - . /``; "none" for an empty one."""
    return _UNSAFE.sub("_", value)[:_LONGEST_VALUE] or "none"
