"""What a parse read, and whether that is still the same."""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Mapping
from functools import cache

Stamp = tuple[int, int, int, int, int] | None
"""Device, inode, size and the times of the last change of content and of status; ``None`` for nothing there."""

# File systems note times with the resolution of the kernel's tick.
TICK_NANOSECONDS = 20_000_000


def stamp(path: str) -> Stamp:
    """Return what tells a file or directory from its later versions."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def find_change(stamps: Mapping[str, Stamp]) -> str:
    """Return the first path that is not what it was, "" for none."""
    return next((path for path, before in stamps.items() if stamp(path) != before), "")


def find_unsettled(stamps: Mapping[str, Stamp], *, since: int) -> str:
    """Return a path that changed after ``since``, in nanoseconds since the epoch, or changed since its stamp."""
    for path, before in stamps.items():
        if before is not None and max(before[3:]) > since - TICK_NANOSECONDS:
            return path
    return find_change(stamps)


def is_installed(path: str) -> bool:
    """Return whether a path is within Python's or an installed package's directory: those are stamped as a whole."""
    return path.startswith(installed_directories())


@cache
def installed_directories() -> tuple[str, ...]:
    """Return the directories of Python and of installed packages, each with a slash at its end."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    known = [sysconfig.get_paths().get(name) for name in names] + [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(sorted({os.path.join(path, "") for path in known if path}))
