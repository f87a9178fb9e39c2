"""One entry of the launch stream on its way to its outcome: the values that the launcher's steps hand on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from hybrid_executor.agent.launch.pod_factory import Manifest
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
    """An entry that this agent works on, and what earlier tries showed.

    :ivar queue: the task's queue, "" where it is not known.
    :ivar failures: creations that failed and may be tried again.
    :ivar renames: how many names were in use by somebody else's pod.
    :ivar last_words: the cluster's last answer. :ivar note: what it waits for, as the record says.
    :ivar accepted_at: when this agent took the entry, seconds on a monotonic clock.
    :ivar announced_at: when its record last named its pod and was as it should be, seconds on a monotonic clock.
    :ivar demand: what its pod asks for, None before the first build.
    :ivar barrier: the barrier that it tries now, None for none; :ivar barrier_age: how often that had closed before.
    :ivar unanswered_at: when a creation last had no clear answer, seconds on a monotonic clock; None for never.
    :ivar is_void: it is not to be launched any more.
    :ivar claim: names this agent's work on it, in the pod that it claims.
    :ivar has_written: the workload may have been written to a pod.
    :ivar is_early: others wait, and its queue had no launches for a while: it may go on before the rate allows it.
    :ivar looks: how often in vain it was looked whether its pod can get the workload.
    """

    entry: LaunchEntry
    queue: str = ""
    failures: int = 0
    renames: int = 0
    last_words: str = ""
    note: str = ""
    accepted_at: float = field(default_factory=time.monotonic)
    announced_at: float = 0.0
    demand: Demand | None = None
    barrier: Barrier | None = None
    barrier_age: int = 0
    unanswered_at: float | None = None
    is_void: bool = False
    claim: str = field(default_factory=lambda: uuid4().hex)
    has_written: bool = False
    is_early: bool = False
    looks: int = 0


@dataclass(frozen=True)
class Again:
    """Try the launch again after ``seconds``; ``note`` says what it waits for."""

    launch: Launch
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """The cluster refuses such pods now, for a cause that concerns others too.

    :ivar failed: set if the launch itself has failed for good.
    """

    launch: Launch
    record: Record
    refusal: Refusal
    failed: Failed | None = None


@dataclass(frozen=True)
class Withdrawn:
    """The attempt goes on to another target. Whether this launch has created its pod is to be found out."""

    launch: Launch
    record: Record


@dataclass(frozen=True)
class Parked:
    """The attempt goes on to another target, and it is certain that this launch has no pod: its owner moves it."""

    launch: Launch
    record: Record


@dataclass(frozen=True)
class Dropped:
    """There is nothing to launch: the attempt was revoked or launched by somebody else."""

    launch: Launch


@dataclass(frozen=True)
class Failed:
    """The launch has failed; ``reason`` is text for the task's author.

    :ivar is_lost: the owner decides, since a new workload may help.
    :ivar unwanted: a pod that was created all the same and has to be deleted.
    :ivar sources: the states from which the attempt may fail.
    """

    launch: Launch
    record: Record
    reason: str
    category: str
    is_lost: bool = False
    unwanted: Created | None = None
    sources: tuple[State, ...] = LAUNCHABLE


@dataclass(frozen=True)
class Ready:
    """The pod can be created. Its manifest holds a token: never show it.

    :ivar why_cold: in one word why it cannot be a warm pod, "" if it can, ``None`` if its profile has none.
    :ivar payload: for a warm pod.
    """

    launch: Launch
    record: Record
    manifest: Manifest = field(repr=False)
    why_cold: str | None = None
    payload: str = field(default="", repr=False)


@dataclass(frozen=True)
class Created:
    """The pod of this launch exists.

    :ivar is_claimed: it was a warm pod, and it is to be found out whether it has its workload.
    """

    launch: Launch
    record: Record
    namespace: str
    name: str
    uid: str
    is_claimed: bool = False


@dataclass(frozen=True)
class Claimed:
    """A pod that runs is this attempt's, and gets its workload. It holds a token: never show it.

    :ivar pod: ``namespace/name``.
    :ivar is_new: nobody can have done anything with the pod yet.
    :ivar is_warm: the pod was not made for this attempt.
    """

    launch: Launch
    record: Record
    pod: str
    payload: str = field(repr=False)
    is_new: bool
    is_warm: bool = True

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return self.pod.partition("/")[0]

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.pod.partition("/")[2]


@dataclass(frozen=True)
class HandedOver:
    """A pod has accepted the workload; a warm one, unless it was made for this attempt."""

    launch: Launch
    record: Record
    namespace: str
    name: str
    uid: str
    node: str
    is_warm: bool = True


@dataclass(frozen=True)
class TakenBack:
    """The waiting pod cannot be used: the attempt is launched again at once."""

    launch: Launch
    record: Record
    words: str


@dataclass(frozen=True)
class Abandoned:
    """A claimed pod is to be deleted; when it is gone, the watcher launches the attempt again."""

    launch: Launch
    record: Record
    namespace: str
    name: str
    uid: str


Prepared = Ready | Claimed | Withdrawn | Again | Dropped | Failed
"""What follows for a launch from its preparation."""

Tried = Created | Parked | Again | Failed | Refused
"""What follows for a launch from the try to create its pod."""

HandOverResult = HandedOver | TakenBack | Abandoned | Again | Dropped | Failed
"""What follows for a launch from the try to hand its workload over to a pod."""

Outcome = Created | HandedOver | TakenBack | Parked | Failed
"""What ends a launch, in the step that acknowledges its entry."""

Step = Prepared | Tried | HandOverResult
"""What a launch is handed on with."""
