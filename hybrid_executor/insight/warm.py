"""Warm pods by profile, as agents announce them and records show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.insight.members import AgentView
from hybrid_executor.states import State
from hybrid_executor.store import Record


@dataclass(frozen=True, kw_only=True)
class WarmView:
    """The warm pods of one profile in one cluster.

    :ivar ready, starting, stale: pods without an attempt; stale ones are being replaced. :ivar wanted: how many should
        wait now. :ivar in_use: attempts that run in a warm pod.
    :ivar cpu: cores, and ``memory``: bytes, that pods without an attempt request.
    :ivar hits, misses: attempts since the living agents started, misses by reason.
    :ivar kept_by: the agent that keeps them, "" if none does now.
    """

    cluster: str
    profile: str
    ready: int = 0
    starting: int = 0
    stale: int = 0
    wanted: int = 0
    in_use: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    hits: int = 0
    misses: Mapping[str, int] = field(default_factory=dict)
    kept_by: str = ""

    @property
    def hit_rate(self) -> float | None:
        """The share of attempts that got a waiting pod, ``None`` before the first attempt."""
        total = self.hits + sum(self.misses.values())
        return self.hits / total if total else None


_SEEN = ("ready", "starting", "stale", "wanted", "cpu", "memory")


def view_warm(
    profiles: Sequence[tuple[str, str]], agents: Sequence[AgentView], records: Sequence[Record]
) -> tuple[WarmView, ...]:
    """Return the warm pods of these clusters and profiles, with others that agents still announce.

    :param records: live attempts, with ``profile``, ``holder`` and ``warm``.
    """
    told: dict[tuple[str, str], dict[str, Any]] = {key: {} for key in profiles}
    for agent in agents:
        if agent.is_alive:
            for cluster, by_profile in agent.warm.items():
                for profile, seen in _mapping(by_profile).items():
                    _add(told.setdefault((cluster, profile), {}), _mapping(seen), agent.name)
    in_use = Counter((record.cluster, record.profile) for record in records if _runs_warm(record))
    return tuple(
        WarmView(cluster=cluster, profile=profile, in_use=in_use[cluster, profile], **values)
        for (cluster, profile), values in sorted(told.items())
    )


def _runs_warm(record: Record) -> bool:
    warm = record.extra.get("warm", "")
    return record.state is State.RUNNING and bool(warm) and warm.partition("/")[2] == record.holder


def _add(values: dict[str, Any], seen: Mapping[str, Any], agent: str) -> None:
    """Add what one agent announces: its own hits, and what waits if it keeps the pods."""
    values["hits"] = values.get("hits", 0) + _number(seen.get("hits"))
    misses = Counter(values.get("misses", {}))
    misses.update({str(reason): _number(count) for reason, count in _mapping(seen.get("misses")).items()})
    values["misses"] = dict(misses)
    if "ready" in seen:
        values |= {name: _number(seen.get(name)) for name in _SEEN}
        values["kept_by"] = agent


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
