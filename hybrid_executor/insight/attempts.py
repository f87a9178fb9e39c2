"""Attempts as rows: the live ones and those that ended lately, filtered."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_executor.events import AttemptId
from hybrid_executor.insight.facts import MOMENTS, POOLS
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store

FIELDS = (
    *("generation", "owner", "kind", "key", "dag_id", "task_id", "run_id", "map_index", "try_number", "queue", "pool"),
    *("profile", "cluster", "namespace", "pod", "node", "holder", "received_by", "launches", "reason", "note"),
    *("category", "exit_code", "noted_at", "sent", "warm", "warm_generation", "hand_over", "hand_over_entry", *MOMENTS),
    *("route", "target", "placed_at", "moves", "moved_at", "moved_from", "moved_because", "leaving"),
)
"""All fields of a record that are shown."""

_ENDED = frozenset(state.value for state in State if state.is_terminal)
_SINCE = {
    State.SUBMITTED: "submitted_at",
    State.LAUNCHING: "launching_at",
    State.PENDING: "pending_at",
    State.RUNNING: "running_at",
    State.LOST: "lost_at",
}


@dataclass(frozen=True, kw_only=True)
class AttemptFilter:
    """Which attempts to show; a field that is "" or ``None`` does not matter.

    :ivar older_than: seconds for which they have been in their state at least.
    :ivar failed: only those that failed, were lost or revoked.
    :ivar ended: those that ended lately too.
    """

    dag: str = ""
    run: str = ""
    task: str = ""
    queue: str = ""
    pool: str = ""
    state: str = ""
    older_than: float | None = None
    failed: bool = False
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One attempt.

    Times are seconds since the epoch on the Redis server's clock, 0 for a moment that has not come.

    :ivar state: see :class:`hybrid_executor.states.State`. :ivar since: when it came to this state.
    :ivar age: seconds since then.
    :ivar holder: the worker, agent or pod that has it now. :ivar received_by: the worker that has its message.
    :ivar launches: how often it was submitted again without costing a try.
    :ivar note: what it waits for. :ivar reason: why it ended, or was launched again. :ivar category: of that reason.
    :ivar route: the pattern of its route, "" where that has one target and no condition. :ivar target: where it is.
    :ivar placed_at: when it came there. :ivar moves: how often it has gone on to another target, the last time at
        ``moved_at`` from ``moved_from``, because of the condition ``moved_because``.
    :ivar leaving: because of which condition it goes on as soon as its pod is gone, "" if it stays.
    :ivar is_warm: it was given a waiting pod. :ivar is_handed_over: an agent hands its workload over to its pod.
    :ivar is_sent: its message was sent to a broker that is not the store's Redis.
    :ivar trouble: why its record cannot be read, "" where it can.
    """

    id: str
    state: str
    since: float = 0.0
    age: float = 0.0
    kind: str = "task"
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
    node: str = ""
    holder: str = ""
    received_by: str = ""
    owner: str = ""
    launches: int = 0
    note: str = ""
    noted_at: float = 0.0
    reason: str = ""
    category: str = ""
    exit_code: str = ""
    submitted_at: float = 0.0
    launching_at: float = 0.0
    pending_at: float = 0.0
    running_at: float = 0.0
    ended_at: float = 0.0
    route: str = ""
    target: str = ""
    placed_at: float = 0.0
    moves: int = 0
    moved_at: float = 0.0
    moved_from: str = ""
    moved_because: str = ""
    leaving: str = ""
    is_warm: bool = False
    is_handed_over: bool = False
    is_sent: bool = False
    trouble: str = ""

    @property
    def name(self) -> str:
        """The task in words: ``dag.task[map_index]``, or the kind of workload and its id."""
        if self.kind != "task":
            return self.kind
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}"


def read_attempts(store: Store, wanted: AttemptFilter, *, limit: int = 100) -> list[AttemptView]:
    """Return attempts, those that have been in their state for longest first; ended ones follow, the newest first.

    :param limit: of how many to return.
    :raises StoreUnavailable: Redis could not be asked.
    """
    where = _where(wanted)
    now = store.view.now()
    live: list[Record] = []
    for pool in [wanted.pool] if wanted.pool else POOLS:
        live += store.view.live(pool, MOMENTS, where=where)
    ages = {record.id: view_attempt(record, now=now) for record in live if not record.state.is_terminal}
    oldest = sorted((view for view in ages.values() if _matches(view, wanted)), key=lambda view: -view.age)[:limit]
    # All fields are read of those that are shown only.
    read = store.view.records([AttemptId(view.id) for view in oldest], FIELDS)
    shown = [view for record in read if _matches(view := view_attempt(record, now=now), wanted)]
    if wanted.ended or wanted.failed or wanted.state in _ENDED:
        states = (State.FAILED, State.LOST, State.REVOKED) if wanted.failed else _terminal(wanted.state)
        recent = store.view.recent(FIELDS, states=states, where=where, most=max(limit * 5, 500))
        ended = [view_attempt(record, now=now) for record in recent if record.state.is_terminal]
        shown += sorted((view for view in ended if _matches(view, wanted)), key=lambda view: view.age)
    return shown[:limit]


def view_attempt(record: Record, *, now: int) -> AttemptView:
    """Return a record as a row.

    :param now: milliseconds on the Redis server's clock.
    """
    moment = record.ended_at if record.state.is_terminal else 0
    moment = moment or int(getattr(record, _SINCE.get(record.state, "submitted_at"))) or record.submitted_at
    return AttemptView(
        id=record.id,
        state=record.state.value,
        since=moment / 1000,
        age=max(0.0, round((now - moment) / 1000, 1)) if moment else 0.0,
        kind=record.kind,
        dag_id=record.dag_id,
        task_id=record.task_id,
        run_id=record.run_id,
        map_index=record.map_index,
        try_number=record.try_number,
        queue=record.queue,
        pool=record.pool,
        profile=record.profile,
        cluster=record.cluster,
        namespace=record.namespace,
        pod=record.pod,
        node=record.extra.get("node", ""),
        holder=record.holder,
        received_by=record.received_by,
        owner=record.owner,
        launches=record.launches,
        note=record.note,
        noted_at=_milliseconds(record.extra.get("noted_at")) / 1000,
        reason=record.reason,
        category=record.category,
        exit_code=record.exit_code,
        submitted_at=record.submitted_at / 1000,
        launching_at=record.launching_at / 1000,
        pending_at=record.pending_at / 1000,
        running_at=record.running_at / 1000,
        ended_at=record.ended_at / 1000,
        route=record.route,
        target=record.target if record.route else "",
        placed_at=record.placed_at / 1000,
        moves=record.moves,
        moved_at=record.moved_at / 1000,
        moved_from=record.moved_from,
        moved_because=record.moved_because,
        leaving=record.leaving,
        is_warm=bool(record.warm_pod),
        is_handed_over=bool(record.hand_over_pod),
        is_sent="sent" in record.extra,
        trouble=record.trouble,
    )


def _where(wanted: AttemptFilter) -> dict[str, str]:
    pairs = {"task_id": wanted.task, "run_id": wanted.run, "dag_id": wanted.dag, "queue": wanted.queue}
    return {name: text for name, text in {**pairs, "pool": wanted.pool}.items() if text}


def _terminal(state: str) -> tuple[State, ...]:
    return tuple(known for known in State if known.is_terminal and state in ("", known.value))


def _matches(view: AttemptView, wanted: AttemptFilter) -> bool:
    if wanted.state and view.state != wanted.state:
        return False
    if wanted.failed and view.state not in ("failed", "lost", "revoked"):
        return False
    return wanted.older_than is None or view.age >= wanted.older_than


def _milliseconds(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
