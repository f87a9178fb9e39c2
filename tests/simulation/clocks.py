"""Python's clocks and waits, which belong to the running world. Imported before the product, which keeps some of them.

Where no world runs, they are the machine's own.
"""

from __future__ import annotations

import os
import time
from typing import Any, Protocol


class Clocks(Protocol):
    """What a world gives to the code that runs in it."""

    now: float

    def time(self) -> float:
        """Return seconds since 1970 as the simulated process that runs now has them."""

    def sleep(self, seconds: float) -> None:
        """Wait; others go on meanwhile."""

    def monotonic(self) -> float:
        """Return seconds since any moment."""

    def getpid(self) -> int:
        """Return the id of the simulated process that runs now."""

    def urandom(self, size: int) -> bytes:
        """Return bytes that follow from the seed."""


_world: Clocks | None = None
_monotonic, _getpid, _urandom = time.monotonic, os.getpid, os.urandom
real_time, real_sleep = time.time, time.sleep
"""The machine's own, whatever runs."""


def govern(world: Clocks | None) -> None:
    """Let the clocks be those of a world from now on, or the machine's again."""
    global _world
    _world = world


def monotonic() -> float:
    """Stand in for ``time.monotonic``."""
    return _monotonic() if _world is None else _world.monotonic()


def install() -> None:
    """Replace the clocks of Python's modules."""
    replaced: dict[str, Any] = {
        "time": lambda: real_time() if _world is None else _world.time(),
        "time_ns": lambda: int((real_time() if _world is None else _world.time()) * 1e9),
        "monotonic": monotonic,
        "sleep": lambda seconds: real_sleep(seconds) if _world is None else _world.sleep(seconds),
    }
    gmtime = time.gmtime
    replaced["gmtime"] = lambda seconds=None: gmtime(_world.time() if seconds is None and _world else seconds)
    for name, clock in replaced.items():
        setattr(time, name, clock)
    os.getpid = lambda: _getpid() if _world is None else _world.getpid()
    os.urandom = lambda size: _urandom(size) if _world is None else _world.urandom(size)
