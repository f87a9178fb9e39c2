"""Threads that are started again when they die of something that nobody thought of."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from hybrid_executor.backoff import RESTART

log = logging.getLogger(__name__)

_HEALTHY_SECONDS = 60.0


def start_supervised(name: str, target: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Run ``target`` in a thread until ``stop``; when it raises or returns before, run it again after a pause."""
    thread = threading.Thread(target=_supervise, args=(name, target, stop), name=name, daemon=True)
    thread.start()
    return thread


def _supervise(name: str, target: Callable[[], None], stop: threading.Event) -> None:
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            target()
        except Exception:
            log.exception("%s died and will be started again", name)
        if time.monotonic() - began > _HEALTHY_SECONDS:
            failures = 0
        failures += 1
        stop.wait(RESTART.seconds(failures, jitter=random.random()))
