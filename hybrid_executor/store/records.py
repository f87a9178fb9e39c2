"""An attempt's record as people and programs read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_executor.events import SCHEMA, AttemptId, OwnerId
from hybrid_executor.states import State


@dataclass(frozen=True, kw_only=True)
class Record:
    """The state of one attempt. Holds no secret.

    Times are milliseconds since the epoch on the Redis server's clock, 0 where the moment has not come.

    :ivar kind: ``task``, ``callback`` or ``connection_test``.
    :ivar map_index: -1 for a task that is not mapped.
    :ivar generation: rises with each change of holder and each relaunch; a holder of an older one has lost.
    :ivar holder: the worker, agent or pod that holds the attempt.
    :ivar launches: times that it was submitted again without costing a try.
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
    reason: str = ""
    note: str = ""
    category: str = ""
    exit_code: str = ""
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
    def warm_pod(self) -> str:
        """``namespace/name`` of the waiting pod that this launch was given, "" for none."""
        is_of_this_launch = self.extra.get("warm_generation") == str(self.generation)
        return self.extra.get("warm", "") if is_of_this_launch else ""

    @property
    def hand_over_pod(self) -> str:
        """``namespace/name`` of the pod that an agent hands this launch's workload over to, "" for none so far."""
        is_due = self.extra.get("hand_over") == str(self.generation) and bool(self.pod)
        return self.warm_pod or (f"{self.namespace}/{self.pod}" if is_due else "")

    @property
    def name(self) -> str:
        """The attempt in words a person knows: ``dag.task[map_index] run try``, or what kind of work it is."""
        if self.kind != "task":
            return f"{self.kind} {self.key or self.id}"
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} {self.run_id} try {self.try_number}"


_TEXTS = frozenset(
    "owner kind key dag_id task_id run_id queue pool profile cluster namespace pod holder received_by reason note "
    "category exit_code".split()
)
_NUMBERS = frozenset(
    "schema map_index try_number launches submitted_at launching_at pending_at running_at lost_at ended_at".split()
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
