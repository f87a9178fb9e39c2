"""Tells which files of a directory tree are opened, whoever opens them: extensions in C do it unseen by Python. Linux.

The kernel tells it by inotify(7), of other processes too. It tells nothing where it has no inotify, and nothing of
directories beyond its limit of watches, or beyond those that can be listed in half a second.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_IN_OPEN, _IN_ONLYDIR = 0x20, 0x01000000
_IN_Q_OVERFLOW, _IN_ISDIR = 0x4000, 0x40000000
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_READ_BYTES = 1 << 16
_WALK_SECONDS = 0.5
_LEFT_OUT = frozenset({"__pycache__", ".git"})


class OpenedFiles:
    """A context manager: tells which files under a directory were opened since it was entered."""

    def __init__(self, top: str) -> None:
        self._top = top

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None)
        self._directories: dict[int, str] = {}
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            return self
        until = time.monotonic() + _WALK_SECONDS
        for directory in _directories(self._top):
            watch = libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _IN_OPEN | _IN_ONLYDIR)
            if watch >= 0:
                self._directories[watch] = directory
            if time.monotonic() > until:
                break
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def take(self) -> tuple[set[str], bool]:
        """Return the paths, and whether these are all: the kernel keeps only so many."""
        paths, are_all = set(), True
        while events := self._read():
            at = 0
            while at < len(events):
                watch, mask, _, length = _EVENT.unpack_from(events, at)
                name = events[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                at += _EVENT.size + length
                are_all &= not mask & _IN_Q_OVERFLOW
                if name and not mask & _IN_ISDIR:
                    paths.add(os.path.join(self._directories[watch], os.fsdecode(name)))
        return paths, are_all

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES) if self._descriptor >= 0 else b""
        except BlockingIOError:
            return b""


def _directories(top: str) -> Iterator[str]:
    for directory, names, _ in os.walk(top):
        names[:] = [name for name in names if name not in _LEFT_OUT]
        yield directory
