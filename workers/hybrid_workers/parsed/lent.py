"""Which slot supervises which task that a parsed parent has forked: such a task is no child of its slot.

A table in memory that the worker's main process shares with its slots, with one number for each possible process id.
Each slot writes its own number alone, so that no lock is needed. Without parsed parents there is no table.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_SIZE = 4
_MOST_LOOKS = 20
_table: mmap.mmap | None = None
_nursery = 0


def open_table(nursery: int) -> None:
    """Make the table, before slots are forked."""
    global _table, _nursery
    most = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    _table, _nursery = mmap.mmap(-1, (most + 1) * _SIZE), nursery


def note(task: int) -> None:
    """Note that this process, a slot, supervises ``task``; 0 for none."""
    if _table is not None:
        place = os.getpid() * _SIZE
        _table[place : place + _SIZE] = task.to_bytes(_SIZE, "little")


def tasks_of(slot: int) -> list[int]:
    """Return the processes that a parsed parent has forked for a slot and that still run."""
    if _table is None:
        return []
    place = slot * _SIZE
    task = int.from_bytes(_table[place : place + _SIZE], "little")
    return [task] if task and _parent_of(_parent_of(task)) == _nursery else []


def measure() -> dict[str, str]:
    """Return what the worker announces of its parsed files: how many there are, and what their processes hold."""
    if _table is None:
        return {}
    parents = list(children_of(_nursery))
    size = sum(_resident_bytes(pid) for pid in (_nursery, *parents))
    log.debug("%d processes hold parsed Dag files, with %d MiB, much of it shared", len(parents), size >> 20)
    return {"parsed_files": str(len(parents)), "parsed_bytes": str(size)}


def _parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process, without a look at all processes. Linux.

    The kernel's list may lack some while others end (``proc_pid_children(5)``), so it is read until two looks agree.
    """
    found = list(_read_children(pid))
    for _ in range(_MOST_LOOKS):
        again = list(_read_children(pid))
        if again == found:
            break
        found = again
    return found


def _read_children(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from (int(child) for child in file.read_text(encoding="ascii").split())
        except OSError:
            continue


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
