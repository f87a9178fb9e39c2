"""What a person may tell agents: drain, launch again, repair now.

A drained agent takes no new launches. It goes on watching until another agent takes its leases, or until it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.errors import ConfigError
from hybrid_executor.operations.done import Done, Report, tell_nobody
from hybrid_executor.operations.members import OBEYED_SECONDS, Members, count_in, names_in, state_of
from hybrid_executor.store import Member, Order, Store

_DRAINS = frozenset({"draining", "drained"})


def choose_agents(store: Store, *, name: str | None = None, is_for_all: bool = False) -> list[Member]:
    """Return the live agents with this name or on this host, or all; without a name, the only one there is.

    :raises ConfigError: there is none, or without a name there are several; the message lists the live agents.
    :raises StoreUnavailable: Redis could not be asked.
    """
    alive = [member for member in store.presence.members("agent") if member.is_alive]
    known = ", ".join(member.name for member in alive) or "none"
    if name:
        chosen = [m for m in alive if m.name == name] or [m for m in alive if m.fields.get("host") == name]
        if not chosen:
            raise ConfigError(f"There is no live agent with the name or host {name}. Live agents: {known}.")
        return chosen
    if not alive:
        raise ConfigError("There is no live agent: start one with 'airflow hybrid agent'.")
    if len(alive) > 1 and not is_for_all:
        raise ConfigError(f"There are several agents: write the name of one, or --all. Live agents: {known}.")
    return alive


def drain_agents(
    store: Store, chosen: Sequence[Member], *, seconds: float = OBEYED_SECONDS, report: Report = tell_nobody
) -> list[Done]:
    """Let agents take no new launches. What waits in them goes to other agents, and so do their watches."""
    order = Order("drain")
    return _MEMBERS.command(
        store, chosen, order, lambda m: state_of(m) in {*_DRAINS, "gone"}, seconds=seconds, report=report
    )


def await_idle_agents(
    store: Store, chosen: Sequence[Member], *, seconds: float | None = None, report: Report = tell_nobody
) -> list[Done]:
    """Wait until drained agents have no launch under way, and other agents have taken the watches that they can.

    :param seconds: how long to wait, ``None`` for ever.
    """
    return _MEMBERS.wait(store, chosen, lambda m: state_of(m) in ("drained", "gone"), seconds=seconds, report=report)


def resume_agents(
    store: Store, chosen: Sequence[Member], *, seconds: float = OBEYED_SECONDS, report: Report = tell_nobody
) -> list[Done]:
    """Let drained agents launch again."""
    return _MEMBERS.command(
        store, chosen, Order("resume"), lambda m: state_of(m) == "running", seconds=seconds, report=report
    )


def clusters_without_agent(store: Store) -> list[str]:
    """Return the clusters of live agents in which none of them launches pods, because all are drained."""
    alive = [member for member in store.presence.members("agent") if member.is_alive]
    known = {cluster for member in alive for cluster in names_in(member, "clusters")}
    served = {c for member in alive if state_of(member) not in _DRAINS for c in names_in(member, "clusters")}
    return sorted(known - served)


def _words(member: Member | None) -> str:
    if member is None or not member.is_alive:
        return "gone"
    watches = ", ".join(sorted(name.removeprefix("watch:") for name in names_in(member, "leases"))) or "nothing"
    return f"{state_of(member)}, {count_in(member, 'in_flight')} launches under way, watches {watches}"


_MEMBERS = Members(role="agent", describe=_words, late="has not done it yet; see 'airflow hybrid status'")
