"""An attempt's record as people and programs read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_executor.events import SCHEMA, AttemptId, OwnerId, StreamId, stream_position
from hybrid_executor.states import State
from hybrid_executor.targets import place_name


@dataclass(frozen=True, kw_only=True)
class Record:
    """The state of one attempt. Holds no secret.

    Times are milliseconds since the epoch on the Redis server's clock, 0 where the moment has not come.

    :ivar kind: ``task``, ``callback`` or ``connection_test``.
    :ivar map_index: -1 for a task that is not mapped.
    :ivar generation: rises with each change of holder and each relaunch; a holder of an older one has lost.
    :ivar holder: the worker, agent or pod that holds the attempt.
    :ivar launches: times that it was submitted again without costing a try. Moves do not count.
    :ivar route: the pattern of its route, "" where the route has one target and no condition.
    :ivar target: where it is, such as ``kubernetes:spot``; "" for records of older releases.
    :ivar placed_at: when it came to this target. :ivar placed_launches: its ``launches`` at that moment.
    :ivar queued_at: when it was submitted for the first time; ``submitted_at`` is the last time.
    :ivar moves: how often it has gone on to another target, the last time at ``moved_at`` from the target
        ``moved_from`` because of ``moved_because``: ``wait``, ``tries`` or ``served``, the condition it did not meet.
    :ivar leaving: why it is to leave its target as soon as its pod is gone, a word as in ``moved_because``; "" if it
        stays. Until its owner moves it, nothing can start it.
    :ivar note: what it is waiting for, e.g. the scheduler's words about an unschedulable pod.
    :ivar category: the diagnosis behind a pod's end, "" for none.
    :ivar schema: the :data:`~hybrid_executor.events.SCHEMA` of the release that wrote it first; 0 before there was one.
    :ivar trouble: why the record cannot be read, in words; its state is unknown then. "" for a readable record.
    """

    id: AttemptId
    state: State
    generation: int
    owner: OwnerId = OwnerId("")
    kind: str = "task"
    key: str = ""
    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    try_number: int = 0
    queue: str = ""
    pool: str = ""
    profile: str = ""
    cluster: str = ""
    namespace: str = ""
    pod: str = ""
    holder: str = ""
    received_by: str = ""
    launches: int = 0
    route: str = ""
    target: str = ""
    moves: int = 0
    moved_from: str = ""
    moved_because: str = ""
    leaving: str = ""
    placed_launches: int = 0
    reason: str = ""
    note: str = ""
    category: str = ""
    exit_code: str = ""
    queued_at: int = 0
    placed_at: int = 0
    moved_at: int = 0
    submitted_at: int = 0
    launching_at: int = 0
    pending_at: int = 0
    running_at: int = 0
    lost_at: int = 0
    ended_at: int = 0
    trouble: str = ""
    schema: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it is counted, see :func:`~hybrid_executor.targets.place_name`; "" for nowhere."""
        return place_name(self.route, self.target) if self.route else ""

    def placed_fields(self) -> dict[str, str | int]:
        """Return the fields that tell on which target it is, to write them again; none where it is not counted."""
        if not self.route:
            return {}
        names = ("route", "target", "placed_at", "placed_launches", "queued_at", "moves", "moved_at", "moved_from")
        return {name: getattr(self, name) for name in (*names, "moved_because") if getattr(self, name)}

    @property
    def launch(self) -> int:
        """The number of its pod: each relaunch and each move has another one, so no two pods have the same name."""
        return self.launches + self.moves

    @property
    def warm_pod(self) -> str:
        """``namespace/name`` of the waiting pod that this launch was given, "" for none."""
        is_of_this_launch = self.extra.get("warm_generation") == str(self.generation)
        return self.extra.get("warm", "") if is_of_this_launch else ""

    @property
    def hand_over_pod(self) -> str:
        """``namespace/name`` of the pod that an agent hands this launch's workload over to, "" for none so far."""
        return self.warm_pod or (f"{self.namespace}/{self.pod}" if self._is_due and self.pod else "")

    def is_handed_over_by_another(self, entry: StreamId) -> bool:
        """Return whether a later entry of the launch stream is for the hand-over to the attempt's own pod."""
        later = self.extra.get("hand_over_entry", "")
        if not later or not self._is_due or self.warm_pod:
            return False
        try:
            return stream_position(entry) < stream_position(later)
        except ValueError:
            return False

    @property
    def _is_due(self) -> bool:
        return self.extra.get("hand_over") == str(self.generation)

    @property
    def name(self) -> str:
        """The attempt in words a person knows: ``dag.task[map_index] run try``, or what kind of work it is."""
        if self.kind != "task":
            return f"{self.kind} {self.key or self.id}"
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} {self.run_id} try {self.try_number}"


_TEXTS = frozenset(
    "owner kind key dag_id task_id run_id queue pool profile cluster namespace pod holder received_by reason note "
    "category exit_code route target moved_from moved_because leaving".split()
)
_NUMBERS = frozenset(
    "schema map_index try_number launches moves placed_launches queued_at placed_at moved_at submitted_at launching_at "
    "pending_at running_at lost_at ended_at".split()
)


def parse_record(fields: Mapping[str, str]) -> Record | None:
    """Return the record held by a hash, ``None`` for an empty one; unknown fields are kept in ``extra``.

    The state of a record with a higher :data:`~hybrid_executor.events.SCHEMA`, and one that a newer release has added,
    is :attr:`State.UNKNOWN`; a text in place of a number counts as 0. So one bad
    record does not prevent reading the others.
    """
    if "state" not in fields:
        return None
    known: dict[str, object] = {name: fields[name] for name in _TEXTS if name in fields}
    known.update({name: _number(fields[name]) for name in _NUMBERS if name in fields})
    rest = set(fields) - _TEXTS - _NUMBERS - {"id", "state", "generation"}
    return Record(
        id=AttemptId(fields.get("id", "")),
        state=_state(fields["state"]) if _number(fields.get("schema", "")) <= SCHEMA else State.UNKNOWN,
        generation=_number(fields.get("generation", "")),
        extra={name: fields[name] for name in sorted(rest)},
        **known,  # type: ignore[arg-type]
    )


def unreadable_record(attempt: AttemptId, trouble: str) -> Record:
    """Return what is shown for a record whose key holds a value of another type."""
    return Record(id=attempt, state=State.UNKNOWN, generation=0, trouble=trouble)


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        return State.UNKNOWN


def _number(text: str) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0
