"""Signals such as Ctrl-C as events: the first one requests a stop, the second one a kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class StopWish:
    """The user's request: ``stop`` in order, or ``hurry`` and kill everything."""

    stop: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)


@contextmanager
def stop_on_signals() -> Iterator[StopWish]:
    """Turn SIGINT, SIGTERM and SIGHUP into a :class:`StopWish` for as long as the block runs; main thread only."""
    wish = StopWish()

    def note(*_: object) -> None:
        (wish.hurry if wish.stop.is_set() else wish.stop).set()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
