"""Trouble that lasts is logged when it begins, when it changes and when it is over, not each time it is met."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


REDIS = "redis"
REDIS_UNAVAILABLE = "Redis unavailable, trying again: %s"
REDIS_BACK = "Redis is available again"

_SAME_TROUBLE_SECONDS = 30.0
_LATE_SECONDS = 1.0
_MOST_SUBJECTS = 1_000


@dataclass
class _Complaint:
    said: object
    at: float


class Complaints:
    """What is being complained about now, by subject. Safe for several threads.

    A thread may tell of a trouble just after another one has found that it is over: that is not logged.

    :param on_report: is called with subject and arguments of each complaint, logged or not.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_report: Callable[[str, tuple[object, ...]], None] = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._on_report = on_report
        self._lock = threading.Lock()
        self._open: dict[str, _Complaint] = {}
        self._over: dict[str, _Complaint] = {}

    def report(
        self, subject: str, message: str, *args: object, cause: str | None = None, level: int = logging.WARNING
    ) -> bool:
        """Log a complaint; return whether it was logged.

        Without ``cause``, it is not logged where the last one about ``subject`` said the same, or said something else
        less than 30 s before: one trouble shows itself in many messages.

        :param cause: identifies the trouble where the message varies. Then the complaint is logged exactly when the
            cause is another one than that of the last complaint.
        """
        is_new = self._is_new(subject, message, args, cause)
        if is_new:
            log.log(level, message, *args, stacklevel=2)
        return is_new

    def unexpected(self, subject: str, message: str, *args: object, error: BaseException) -> None:
        """Log an unexpected error with its traceback, unless the last one about ``subject`` was of the same class."""
        if self._is_new(subject, message, args, type(error).__qualname__):
            log.error(message, *args, exc_info=error, stacklevel=2)

    def _is_new(self, subject: str, message: str, args: tuple[object, ...], cause: str | None) -> bool:
        self._on_report(subject, args)
        said, now = (message, *map(str, args)) if cause is None else cause, self._clock()
        with self._lock:
            last = self._open.get(subject)
            if last is not None and (last.said == said or (cause is None and now - last.at < _SAME_TROUBLE_SECONDS)):
                return False
            over = self._over.get(subject)
            if over is not None and over.said == said and now - over.at < _LATE_SECONDS:
                return False
            _put(self._open, subject, _Complaint(said, now))
        return True

    def settle(self, subject: str, message: str, *args: object, level: int = logging.INFO) -> None:
        """Log ``message`` once where ``subject`` was complained about."""
        with self._lock:
            last = self._open.pop(subject, None)
            if last is not None:
                _put(self._over, subject, _Complaint(last.said, self._clock()))
        if last is not None:
            log.log(level, message, *args, stacklevel=2)


def _put(known: dict[str, _Complaint], subject: str, complaint: _Complaint) -> None:
    known.pop(subject, None)
    known[subject] = complaint
    while len(known) > _MOST_SUBJECTS:
        del known[next(iter(known))]
