"""Waiting for a condition. A machine that is slow makes a test slow, and not red."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 300.0
"""Only a failure takes so long: many times what the slowest condition needs on an idle machine."""

_LOOKS_SHARE, _SELDOM_SECONDS = 0.05, 0.25


def wait_until(
    holds: Callable[[], T], *, what: str | Callable[[], object] = "", seconds: float = 0.0, every_seconds: float = 0.02
) -> T:
    """Return the first true value of ``holds``, which is asked less and less often: others need the processor.

    :param what: what is waited for, or a function that tells how things stand, for the failure's message.
    :param seconds: for a condition that may take longer than the usual patience.
    :raises AssertionError: it stayed false.
    """
    patience = max(seconds, PATIENCE_SECONDS)
    began = time.monotonic()
    while not (value := holds()):
        waited = time.monotonic() - began
        assert waited < patience, f"not within {patience:.0f} s: {what() if callable(what) else what or holds}"
        time.sleep(max(every_seconds, min(_SELDOM_SECONDS, _LOOKS_SHARE * waited)))
    return value
