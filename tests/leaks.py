"""What a test leaves behind: keys that nobody removes, threads, child processes. Looked at after every test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

_PATIENCE_SECONDS = 10.0
# Bounded by trimming and by acknowledgements, and one for each instance: they are there as long as it is.
_SHARED = (":events", ":launch:")


@dataclass(frozen=True)
class Life:
    """The threads and child processes of this process at one moment."""

    threads: frozenset[int]
    children: frozenset[int]


_shared_children: set[int] = set()
_shared_threads: set[int] = set()


@contextmanager
def shared() -> Iterator[None]:
    """Let live on what starts in it: fixtures that modules share."""
    before = take_stock()
    yield
    now = take_stock()
    _shared_children.update(now.children - before.children)
    _shared_threads.update(now.threads - before.threads)


def take_stock() -> Life:
    """Return what lives now."""
    return Life(frozenset(thread.ident or 0 for thread in threading.enumerate()), frozenset(_children()))


def find_leaks(before: Life) -> list[str]:
    """Return in words what lives now and did not before; what is just ending is waited for."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (leaks := [*_new_threads(before), *_new_children(before)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return leaks


def find_lasting_keys(url: str) -> list[str]:
    """Return our keys that neither expire nor belong to what runs as long as the instance does."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        keys = [key for key in client.scan_iter("{hybrid:*", count=1000) if not _is_shared(key.partition("}")[2])]
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.ttl(key)
        return [key for key, seconds in zip(keys, pipeline.execute(), strict=True) if seconds == -1]


def _is_shared(name: str) -> bool:
    return any(name.startswith(shared) for shared in _SHARED)


def _new_threads(before: Life) -> Iterable[str]:
    for thread in threading.enumerate():
        if thread.ident not in before.threads | _shared_threads and not _is_of_library(thread):
            yield f"thread {thread.name}"


def _is_of_library(thread: threading.Thread) -> bool:
    """Return whether a thread serves the whole process once a library has been used: it is made once."""
    return thread.name.startswith(("asyncio_", "AnyIO", "pytest_timeout", "ThreadPoolExecutor-"))


def _new_children(before: Life) -> Iterable[str]:
    for pid in _children():
        if pid not in before.children | _shared_children and not _is_of_python(pid):
            yield f"process {pid}: {_command(pid)}"


def _is_of_python(pid: int) -> bool:
    """Return whether a process serves the whole process once ``multiprocessing`` has been used: it is made once."""
    return any(f"multiprocessing.{helper}" in _command(pid) for helper in ("resource_tracker", "forkserver"))


def _children() -> set[int]:
    """Return the child processes of all threads. Linux; elsewhere none are found."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        found |= {int(pid) for pid in _read(file).split()}
    return {pid for pid in found if _state(pid) not in ("", "X")}


def _state(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].strip()[:1]


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip() or f"state {_state(pid)}"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
