"""What is asked of an attempt's record, and what the record answers: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State

FULL = -4
"""What a submission is answered whose target has no room."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """On which target an attempt is submitted, and what that has to do with the one it is on.

    :ivar target: its name, "" for that of the pool.
    :ivar route: the pattern of the route whose attempts are counted on this target, "" for a route that counts nobody.
    :ivar most: how many may be there at once, 0 for any number. One that is there already may always be.
    :ivar because: the condition for which an attempt goes on to this target, "" for none.
    :ivar only_waits: submit a known attempt again only if nothing can have started it; this is no further launch.
    """

    target: str = ""
    route: str = ""
    most: int = 0
    because: str = ""
    only_waits: bool = False


@dataclass(kw_only=True, slots=True)  # one is made for each workload: frozen ones take twice as long to make
class Submission:
    """One attempt to record as submitted, with what its pool needs. Nobody changes it.

    :ivar fields: the record's identity and routing (dag_id, task_id, queue, ...).
    :ivar expected_generation: 0 for a new attempt; the record's generation to submit a known, live one again.
    :ivar cluster: the Kubernetes cluster whose launch stream gets an entry, "" for none.
    :ivar queue_key, message: a broker list on this same Redis and the message to push there, "" for none.
    :ivar payload: the workload JSON; it holds a token.
    :ivar overrides: executor_config as JSON, "" for none; it may hold secrets.
    """

    attempt: AttemptId
    owner: OwnerId
    pool: str
    fields: Mapping[str, str | int]
    payload: str = field(repr=False)
    expected_generation: int = 0
    overrides: str = field(default="", repr=False)
    cluster: str = ""
    queue_key: str = ""
    message: str = field(default="", repr=False)
    placement: Placement = Placement()


class Outcome(IntEnum):
    """What became of a change."""

    CHANGED = 1
    ILLEGAL = 0
    MISSING = -1
    STALE = -2
    UNREADABLE = -3
    ELSEWHERE = -4
    NOT_YET = 2


@dataclass(frozen=True)
class LaunchAck:
    """The launch-stream entry that a change acknowledges and deletes, whatever its outcome."""

    cluster: str
    entry_id: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of state.

    :ivar generation: the generation the record must have; ``None`` for any.
    :ivar sources: states it may come from; by default all that the state may follow.
    :ivar raises_generation: whether holders of the present generation lose.
    :ivar relaunch: put the attempt on its cluster's launch stream again (only with ``to=SUBMITTED``).
    :ivar delete_pod: ask the cluster's agents to delete the record's pod.
    :ivar may_park: the record's pod is gone and its task has not started. An attempt that is to leave its target then
        waits for its owner, as SUBMITTED, whatever ``to`` is. So does one that is launched again too often there.
    :ivar only_pod: change nothing where the record has another pod on its way, or running; "" for any pod. Without its
        record, which Redis has lost, an attempt may have got a second pod in the same generation.
    :ivar needs_workload: the pod has not got its workload. Change nothing where the attempt is for workers by now.
    :ivar fields: record fields to write; ``holder`` and ``reason`` also travel in the event.
    """

    attempt: AttemptId
    to: State
    generation: int | None = None
    sources: tuple[State, ...] | None = None
    raises_generation: bool = False
    relaunch: bool = False
    delete_pod: bool = False
    may_park: bool = False
    only_pod: str = ""
    needs_workload: bool = False
    fields: Mapping[str, str | int] = field(default_factory=dict)
    ack: LaunchAck | None = None


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """A live attempt whose record Redis lost, as its owner or worker remembers it.

    :ivar replaces_older: a record that has fallen back to an older generation is written over, too.
    """

    attempt: AttemptId
    owner: OwnerId
    pool: str
    state: State
    generation: int
    fields: Mapping[str, str | int]
    replaces_older: bool = False


@dataclass(frozen=True)
class Claim:
    """The answer to a change or claim: what happened, and how the record stands now."""

    outcome: Outcome
    state: str
    generation: int
    holder: str

    @property
    def is_granted(self) -> bool:
        """The change was made."""
        return self.outcome is Outcome.CHANGED
