"""``airflow hybrid status``: workers, agents, live attempts, what they wait for, and queues that nobody serves."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hybrid_executor.cli.output import output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import airflow_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.executor.unserved import find_unserved, place_of
from hybrid_executor.routing import POOLS
from hybrid_executor.store import Member, Record, Store, open_configured_store


@plainly
def status(args: Namespace) -> None:
    """Read the store once and show it."""
    conf = airflow_config()
    settings = read_configured_settings(conf)
    settings.require_redis()
    store = open_configured_store(settings)
    try:
        found = read_status(store)
    finally:
        store.close()
    output = output_of(args)
    if output.is_data:
        output.data({"instance": settings.instance, **found})
    else:
        show(found, instance=settings.instance)


def read_status(store: Store) -> dict[str, Any]:
    """Return the state of Redis ("ok" or the problem), workers, agents, counts of live attempts, what they wait
    for, and what nobody serves, in plain types.

    :raises StoreUnavailable: Redis does not answer.
    """
    store.ping()
    trouble = trouble_of(store)
    records: list[Record] = []
    for pool in POOLS:
        records += [record for record in store.attempts.records(list(store.attempts.live(pool))) if record]
    workers, agents = store.presence.members("worker"), store.presence.members("agent")
    waiting = [place_of(pool=r.pool, queue=r.queue, cluster=r.cluster, state=r.state) for r in records]
    unserved = find_unserved(waiting, workers=workers, agents=agents)
    return {
        "redis": trouble or "ok",
        "workers": [_describe(member) for member in workers],
        "agents": [_describe(member) for member in agents],
        "live": count_live(records),
        "notes": count_notes(records),
        "unserved": [
            {"pool": item.place.pool, "name": item.place.name, "attempts": item.attempts, "advice": str(item)}
            for item in unserved
        ],
    }


def trouble_of(store: Store) -> str:
    """Return why Redis answers but refuses writes; "" if it accepts them."""
    try:
        store.check_writes()
    except StoreUnavailable as error:
        return str(error)
    return ""


def count_live(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return how many attempts there are by pool, queue and state, in this order."""
    counts = Counter((record.pool, record.queue, record.state.value) for record in records)
    return [
        {"pool": pool, "queue": queue, "state": state, "attempts": count}
        for (pool, queue, state), count in sorted(counts.items())
    ]


def count_notes(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return what attempts that have not started wait for, and how many of each queue; the most frequent first."""
    noted = [record for record in records if record.note and not record.state.is_started]
    counts = Counter((record.pool, record.queue, record.note) for record in noted)
    return [
        {"pool": pool, "queue": queue, "note": note, "attempts": count}
        for (pool, queue, note), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def clashes_of(agents: Sequence[Mapping[str, Any]], instance: str) -> list[str]:
    """Return a sentence for each place where agents found pods of another deployment with the same instance name."""
    found = {place: pod for agent in agents for place, pod in json.loads(agent.get("clashes") or "{}").items()}
    return [
        f"{place} has pods of another deployment whose instance is also {instance}, such as {pod}. They are not "
        "touched. Set a different [hybrid_executor] instance in each deployment."
        for place, pod in sorted(found.items())
    ]


def _describe(member: Member) -> dict[str, Any]:
    fields = {name: text for name, text in member.fields.items() if name != "name"}
    return {
        "name": member.name,
        "is_alive": member.is_alive,
        "silent_seconds": round(member.silent_seconds, 1),
        **fields,
    }


def show(found: dict[str, Any], *, instance: str) -> None:
    """Print the result of :func:`read_status`."""
    console = Console(highlight=False)
    if found["redis"] != "ok":
        console.print(found["redis"], style="bold red", markup=False)
    members = Table(title=f"Instance {instance}", title_justify="left", title_style="bold")
    for column in ("role", "name", "state", "queues", "running", "last seen"):
        members.add_column(column, overflow="fold")
    for role in ("workers", "agents"):
        for member in found[role]:
            members.add_row(
                role.removesuffix("s"),
                member["name"],
                _state_of(member),
                _queues_of(member),
                _count_of(member.get("running", "")),
                f"{member['silent_seconds']:.0f} s ago",
            )
    console.print(members if members.row_count else f"Instance {instance}: no workers and no agents.")
    for words in clashes_of(found["agents"], instance):
        console.print(f"[bold yellow]Warning:[/] {words}")
    live = Table(title="Live attempts", title_justify="left", title_style="bold")
    for column in ("pool", "queue", "state"):
        live.add_column(column)
    live.add_column("attempts", justify="right")
    for row in found["live"]:
        live.add_row(row["pool"], row["queue"], row["state"], str(row["attempts"]))
    console.print(live if live.row_count else "No live attempts.")
    if found["notes"]:
        notes = Table(title="Attempts that wait", title_justify="left", title_style="bold")
        for column in ("pool", "queue"):
            notes.add_column(column)
        notes.add_column("attempts", justify="right")
        notes.add_column("note", overflow="fold")
        for row in found["notes"]:
            notes.add_row(row["pool"], row["queue"], str(row["attempts"]), escape(row["note"]))
        console.print(notes)
    for row in found["unserved"]:
        console.print(f"Warning: {row['advice']}.", style="bold", markup=False)


def _queues_of(member: dict[str, Any]) -> str:
    """Return a member's queues, and those that it has paused."""
    paused = member.get("paused_queues", "")
    served = str(member.get("queues", ""))
    return " ".join(part for part in (served, f"(paused: {paused})" if paused else "") if part)


def _state_of(member: dict[str, Any]) -> str:
    return str(member.get("state", "alive")) if member["is_alive"] else "silent"


def _count_of(running: str) -> str:
    """Return how many attempts a member runs; it announces a number, or a JSON list of their ids."""
    try:
        told = json.loads(running)
    except ValueError:
        return running
    return str(len(told)) if isinstance(told, list) else str(told)
