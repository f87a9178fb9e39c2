"""One entry of the launch stream on its way to its outcome: the values that the launcher's steps hand on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid_executor.agent.launch.pod_factory import Manifest
from hybrid_executor.events import StreamId
from hybrid_executor.kube.demand import Demand
from hybrid_executor.kube.refusal import Refusal
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, Record

if TYPE_CHECKING:
    from hybrid_executor.agent.launch.barrier import Barrier

LAUNCHABLE = (State.SUBMITTED, State.LAUNCHING)
"""The states of an attempt that waits for its pod."""


@dataclass(slots=True, eq=False)
class Launch:
    """An entry that is worked on, with what was learnt from earlier tries.

    :ivar failures: creations that failed and may be tried again.
    :ivar renames: names that turned out to belong to somebody else's pod.
    :ivar last_words: what the cluster said last. :ivar note: what the record says it waits for.
    :ivar accepted_at: when this agent took the entry, seconds on a monotonic clock.
    :ivar demand: what its pod asks for, None before it was built once.
    :ivar barrier: what it tries to get through, None for nothing; :ivar barrier_age: of which age that was.
    :ivar is_void: it is not to be launched any more.
    """

    entry: LaunchEntry
    failures: int = 0
    renames: int = 0
    last_words: str = ""
    note: str = ""
    accepted_at: float = field(default_factory=time.monotonic)
    demand: Demand | None = None
    barrier: Barrier | None = None
    barrier_age: int = 0
    is_void: bool = False


@dataclass(frozen=True)
class Again:
    """The launch is to be tried again after ``seconds``; ``note`` says what it waits for."""

    launch: Launch
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """The cluster takes no such pod now, for a cause that concerns others too.

    :ivar failed: set where the launch itself is given up all the same.
    """

    launch: Launch
    record: Record
    refusal: Refusal
    failed: Failed | None = None


@dataclass(frozen=True)
class Dropped:
    """There is nothing to launch: the attempt moved on without us."""

    launch: Launch


@dataclass(frozen=True)
class Failed:
    """The launch is given up, with ``reason`` in words for the task's author.

    :ivar is_lost: the owner decides, since a new workload would help.
    :ivar unwanted: the pod that was created in spite of it, and has to go.
    """

    launch: Launch
    record: Record
    reason: str
    category: str
    is_lost: bool = False
    unwanted: Created | None = None


@dataclass(frozen=True)
class Ready:
    """The record says where the pod will be; it is to be created. Its manifest holds a token: never shown."""

    launch: Launch
    record: Record
    manifest: Manifest = field(repr=False)


@dataclass(frozen=True)
class Created:
    """There is a pod of this launch."""

    launch: Launch
    record: Record
    namespace: str
    name: str
    uid: str


Prepared = Ready | Again | Dropped | Failed
"""What becomes of a launch before its pod is asked for."""

Tried = Created | Again | Failed | Refused
"""What becomes of a launch whose pod was asked for."""


class HeldEntries:
    """The entries that were taken and have no outcome yet. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[StreamId] = set()

    def add(self, entry: LaunchEntry) -> bool:
        """Hold an entry; return False where it is held already (it was delivered twice)."""
        with self._lock:
            if entry.id in self._held:
                return False
            self._held.add(entry.id)
            return True

    def drop(self, entry: LaunchEntry) -> None:
        """Let go of an entry: it has its outcome."""
        with self._lock:
            self._held.discard(entry.id)

    def ids(self) -> list[StreamId]:
        """Return all entries that are held."""
        with self._lock:
            return list(self._held)

    def __len__(self) -> int:
        return len(self._held)
