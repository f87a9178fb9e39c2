"""How a process comes to its end with its parent, and how it keeps what its descendants leave behind. Linux.

Tasks die by the kernel's hand. The nursery and parsed parents see the death of their parent and then end what they
have forked, with all that it has started; the kernel alone would leave that running.

Processes that tasks leave behind come to the process that the tasks were forked from, not to the system's first one. So
they are found where that process is killed. What a task leaves behind on purpose lives on, as ever.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

from hybrid_workers.parsed.lent import children_of
from hybrid_workers.processes import find_tree, is_zombie, kill_trees

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_LAST_LOOKS = 2


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(0)


def outlive_parent() -> None:
    """Take that back."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def watch_parent(parent: int) -> int:
    """Return a descriptor that is readable from the death of the parent of this process on."""
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(0)
    if os.getppid() != parent:
        os._exit(0)
    return descriptor


def end_trees(processes: Collection[int]) -> None:
    """End processes with all that they have started."""
    kill_trees(process for pid in processes for process in find_tree(pid))


def reap_adopted(own: Collection[int]) -> set[int]:
    """Reap adopted processes that have ended; return those that live.

    :param own: the processes that this process has forked and waits for itself.
    """
    living = set()
    for pid in set(children_of(os.getpid())) - set(own):
        with suppress(ChildProcessError, psutil.NoSuchProcess):
            if not is_zombie(psutil.Process(pid)) or not os.waitpid(pid, os.WNOHANG)[0]:
                living.add(pid)
    return living


def end_adopted(own: Collection[int]) -> None:
    """End all adopted processes that are not among ``own``, with all that they have started.

    What one of them has started is adopted when that one ends, so this looks again until there is none, twice.
    """
    known = set(own)
    looks = 0
    while looks < _LAST_LOOKS:
        living = reap_adopted(known)
        looks = 0 if living else looks + 1
        end_trees(living)
        known |= living & reap_adopted(known)  # what cannot be killed is not tried for ever
