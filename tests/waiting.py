"""Waiting for a condition. A machine that is slow makes a test slow, and not red."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 300.0
"""Only a failure takes so long: many times what the slowest condition needs on an idle machine."""


def wait_until(
    holds: Callable[[], T], *, what: str | Callable[[], object] = "", seconds: float = 0.0, every_seconds: float = 0.02
) -> T:
    """Return the first true value of ``holds``.

    :param what: what is waited for, or a function that tells how things stand, for the failure's message.
    :param seconds: for a condition that may take longer than the usual patience.
    :raises AssertionError: it stayed false.
    """
    patience = max(seconds, PATIENCE_SECONDS)
    deadline = time.monotonic() + patience
    while not (value := holds()):
        assert time.monotonic() < deadline, (
            f"not within {patience:.0f} s: {what() if callable(what) else what or holds}"
        )
        time.sleep(every_seconds)
    return value
