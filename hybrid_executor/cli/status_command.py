"""``airflow hybrid status``: who is alive, and what is under way."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import airflow_config, read_settings
from hybrid_executor.routing import POOLS
from hybrid_executor.standalone.configured import shape_of
from hybrid_executor.store import Member, Record, RedisSettings, Store, open_store


@plainly
def status(args: Namespace) -> None:
    """Read the store once and show it."""
    conf = airflow_config()
    settings = read_settings(conf, shape=shape_of(str(conf.get("core", "executor", fallback=""))) or "hybrid")
    redis = settings.require_redis()
    store = open_store(RedisSettings(url=redis.url, options=redis.options), instance=settings.instance)
    try:
        found = read_status(store)
    finally:
        store.close()
    if args.json:
        print(json.dumps({"instance": settings.instance, **found}, indent=2))
    else:
        _print(found, instance=settings.instance)


def read_status(store: Store) -> dict[str, Any]:
    """Return workers, agents and counts of live attempts, in plain types.

    :raises StoreUnavailable: Redis cannot be asked.
    """
    store.ping()
    records: list[Record] = []
    for pool in POOLS:
        records += [record for record in store.attempts.records(list(store.attempts.live(pool))) if record]
    return {
        "workers": [_describe(member) for member in store.presence.members("worker")],
        "agents": [_describe(member) for member in store.presence.members("agent")],
        "live": count_live(records),
    }


def count_live(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return how many attempts there are by pool, queue and state, in this order."""
    counts = Counter((record.pool, record.queue, record.state.value) for record in records)
    return [
        {"pool": pool, "queue": queue, "state": state, "attempts": count}
        for (pool, queue, state), count in sorted(counts.items())
    ]


def clashes_of(agents: Sequence[Mapping[str, Any]], instance: str) -> list[str]:
    """Return a sentence for each place where agents found pods of a deployment that has another Redis."""
    found = {place: pod for agent in agents for place, pod in json.loads(agent.get("clashes") or "{}").items()}
    return [
        f"{place} holds pods of another deployment with instance {instance}, such as {pod}. They are left alone: give "
        "each deployment a [hybrid_executor] instance of its own."
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


def _print(found: dict[str, Any], *, instance: str) -> None:
    console = Console(highlight=False)
    members = Table(title=f"Instance {instance}", title_justify="left", title_style="bold")
    for column in ("role", "name", "state", "queues", "running", "last heard of"):
        members.add_column(column, overflow="fold")
    for role in ("workers", "agents"):
        for member in found[role]:
            members.add_row(
                role.removesuffix("s"),
                member["name"],
                _state_of(member),
                member.get("queues", ""),
                _count_of(member.get("running", "")),
                f"{member['silent_seconds']:.0f} s ago",
            )
    console.print(members if members.row_count else f"Instance {instance}: no worker and no agent has been heard of.")
    for words in clashes_of(found["agents"], instance):
        console.print(f"[bold yellow]Warning:[/] {words}")
    live = Table(title="Live attempts", title_justify="left", title_style="bold")
    for column in ("pool", "queue", "state"):
        live.add_column(column)
    live.add_column("attempts", justify="right")
    for row in found["live"]:
        live.add_row(row["pool"], row["queue"], row["state"], str(row["attempts"]))
    console.print(live if live.row_count else "No attempt is live.")


def _state_of(member: dict[str, Any]) -> str:
    return str(member.get("state", "alive")) if member["is_alive"] else "silent"


def _count_of(running: str) -> str:
    """Return how many attempts a member says it runs: a number, or a JSON list of their ids."""
    try:
        told = json.loads(running)
    except ValueError:
        return running
    return str(len(told)) if isinstance(told, list) else str(told)
