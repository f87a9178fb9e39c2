"""One entry of the launch stream on its way to its outcome: the values that the launcher's steps hand on."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid_executor.agent.pod_factory import Manifest
from hybrid_executor.store import LaunchEntry, Record


@dataclass
class Launch:
    """An entry that is worked on, with what was learnt from earlier tries.

    :ivar failures: creations that failed and may be tried again.
    :ivar namespace: where the pod goes, "" before it was built once.
    :ivar renames: names that turned out to belong to somebody else's pod.
    :ivar last_words: what the cluster said last. :ivar note: what the record says it waits for.
    """

    entry: LaunchEntry
    failures: int = 0
    namespace: str = ""
    renames: int = 0
    last_words: str = ""
    note: str = ""


@dataclass(frozen=True)
class Again:
    """The launch is to be tried again after ``seconds``; ``note`` says what it waits for."""

    launch: Launch
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Dropped:
    """There is nothing to launch: the attempt moved on without us."""

    launch: Launch


@dataclass(frozen=True)
class Failed:
    """The launch is given up, with ``reason`` in words for the task's author.

    :ivar is_lost: the owner decides, since a new workload would help.
    """

    launch: Launch
    record: Record
    reason: str
    category: str
    is_lost: bool = False


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
