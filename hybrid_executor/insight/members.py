"""Workers and agents as their announcements describe them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.store import Member

FORGOTTEN_SECONDS = 3600.0
"""A worker or agent that ended unexpectedly is shown for so long; one that says goodbye is not shown at all."""

_WATCH = "watch:"


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """One Celery worker.

    :ivar state: ``running``, ``draining``, ``drained``, ``deaf`` (messages wait and it takes none), or ``silent``.
    :ivar paused_queues: the queues that it serves again when it need not drain any more.
    :ivar running: the attempts that its task processes have. :ivar held: those it has received and not started.
    :ivar concurrency: how many workloads it may run at the same time; ``processes`` how many it has processes for now.
    :ivar since: when it started, in seconds since the epoch by the clock of ``now``; 0 if unknown.
    :ivar heartbeat_age: seconds since it was last heard of.
    """

    name: str
    state: str
    queues: tuple[str, ...] = ()
    paused_queues: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    waiting: int = 0
    concurrency: int = 0
    processes: int = 0
    hostname: str = ""
    pid: int = 0
    since: float = 0.0
    heartbeat_age: float = 0.0
    seconds_since_message: float | None = None

    @property
    def is_alive(self) -> bool:
        """Its announcement has not expired."""
        return self.state != "silent"

    @property
    def free(self) -> int:
        """How many more workloads it could start now."""
        return max(0, self.concurrency - len(self.running)) if self.is_alive else 0


@dataclass(frozen=True, kw_only=True)
class RefusalView:
    """What a cluster refuses now, so that launches wait in an agent.

    :ivar waiting: how many launches wait for it.
    :ivar seconds: until the agent tries again, 0 for at once.
    """

    cluster: str
    namespace: str
    reason: str
    waiting: int = 0
    seconds: float = 0.0


DRAINS = frozenset({"draining", "drained"})
"""The states of an agent that takes no new launches."""


@dataclass(frozen=True, kw_only=True)
class AgentView:
    """One agent.

    :ivar state: ``running``, ``draining``, ``drained`` or ``silent``.
    :ivar watches: the places that it watches now, ``cluster/namespace``; the namespace is ``*`` for a whole cluster.
    :ivar places: those that it watches or would watch if no other agent did.
    :ivar repairs: it makes the periodic repairs.
    :ivar in_flight: launches and deletions that it works on, by cluster. :ivar launched: pods that it has created.
    :ivar warm: what it announces of warm pods, by cluster and profile; see :mod:`hybrid_executor.insight.warm`.
    :ivar clashes: places with pods of another deployment that has the same instance name, with one such pod.
    """

    name: str
    state: str
    clusters: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    repairs: bool = False
    in_flight: Mapping[str, int] = field(default_factory=dict)
    launched: Mapping[str, int] = field(default_factory=dict)
    clashes: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[RefusalView, ...] = ()
    warm: Mapping[str, Any] = field(default_factory=dict)
    hostname: str = ""
    pid: int = 0
    since: float = 0.0
    heartbeat_age: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Its announcement has not expired."""
        return self.state != "silent"


def view_worker(member: Member, *, now: float) -> WorkerView:
    """Return a worker as its announcement describes it.

    :param now: seconds since the epoch by any clock; ``since`` is by that clock.
    """
    fields = member.fields
    # The worker's times come from its own clock, which may differ from ours.
    clock = _number(fields.get("clock"))
    is_ahead = now - (clock + member.silent_seconds) if clock else 0.0
    now -= is_ahead
    started_at, consumed_at = _number(fields.get("started_at")), _number(fields.get("consumed_at"))
    return WorkerView(
        name=member.name,
        state=fields.get("state", "alive") if member.is_alive else "silent",
        queues=_names(fields.get("queues")),
        paused_queues=_names(fields.get("paused_queues")),
        running=_listed(fields.get("running")),
        held=_listed(fields.get("held")),
        waiting=int(_number(fields.get("waiting"))),
        concurrency=int(_number(fields.get("concurrency"))),
        processes=int(_number(fields.get("processes"))),
        hostname=fields.get("hostname", ""),
        pid=int(_number(fields.get("pid"))),
        since=round(started_at + is_ahead) if started_at else 0.0,
        heartbeat_age=round(member.silent_seconds, 1),
        seconds_since_message=round(now - consumed_at, 1) if consumed_at else None,
    )


def view_agent(member: Member) -> AgentView:
    """Return an agent as its announcement describes it."""
    fields = member.fields
    leases = _names(fields.get("leases"))
    return AgentView(
        name=member.name,
        state=fields.get("state", "running") if member.is_alive else "silent",
        clusters=_names(fields.get("clusters")),
        watches=_places(leases),
        places=_places(_names(fields.get("watches")) or leases),
        repairs="reaper" in leases,
        in_flight=_mapping(fields.get("in_flight")),
        launched=_mapping(fields.get("launched")),
        clashes=_mapping(fields.get("clashes")),
        refusals=_refusals(fields.get("refusals"), age=member.silent_seconds),
        warm=_mapping(fields.get("warm")),
        hostname=fields.get("host", ""),
        pid=int(_number(fields.get("pid"))),
        since=_number(fields.get("began_at")) / 1000,
        heartbeat_age=round(member.silent_seconds, 1),
    )


def _places(leases: Sequence[str]) -> tuple[str, ...]:
    """Return the places of leases such as ``watch:default:airflow``."""
    parts = [name.removeprefix(_WATCH).partition(":") for name in leases if name.startswith(_WATCH)]
    return tuple(f"{cluster}/{namespace or '*'}" for cluster, _, namespace in parts)


def _refusals(text: str | None, *, age: float) -> tuple[RefusalView, ...]:
    found = []
    for item in _json(text, list):
        try:
            found.append(
                RefusalView(
                    cluster=str(item["cluster"]),
                    namespace=str(item["namespace"]),
                    reason=str(item["reason"]),
                    waiting=int(item["waiting"]),
                    seconds=max(0.0, round(float(item["seconds"]) - age, 1)),
                )
            )
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(found)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(sorted({name for name in (text or "").split(",") if name}))


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(str(item) for item in _json(text, list))


def _mapping(text: str | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _json(text, dict)
    return found


def _json(text: str | None, kind: type) -> Any:
    """Return a JSON value of this type, an empty one where the text is anything else."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
