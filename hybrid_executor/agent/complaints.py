"""Trouble that lasts is reported when it begins, when it changes and when it is over, not each time it is met."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


REDIS = "redis"
REDIS_AWAY = "Redis is away and waited for: %s"
REDIS_BACK = "Redis is back"

_SAME_TROUBLE_SECONDS = 30.0
_MOST_SUBJECTS = 1_000


@dataclass
class _Complaint:
    said: tuple[object, ...]
    at: float


class Complaints:
    """What is being complained about now, by subject. Safe for several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Complaint] = {}

    def report(self, subject: str, message: str, *args: object) -> bool:
        """Log a warning; return whether it was logged.

        It is not, where the last one about ``subject`` said the same, or other words shortly before: one trouble shows
        itself in many ways.
        """
        said, now = (message, *map(str, args)), self._clock()
        with self._lock:
            last = self._open.get(subject)
            if last is not None and (last.said == said or now - last.at < _SAME_TROUBLE_SECONDS):
                return False
            self._open.pop(subject, None)
            self._open[subject] = _Complaint(said, now)
            while len(self._open) > _MOST_SUBJECTS:
                del self._open[next(iter(self._open))]
        log.warning(message, *args)
        return True

    def settle(self, subject: str, message: str, *args: object) -> None:
        """Log ``message`` once where ``subject`` was complained about."""
        with self._lock:
            was_open = self._open.pop(subject, None) is not None
        if was_open:
            log.info(message, *args)
