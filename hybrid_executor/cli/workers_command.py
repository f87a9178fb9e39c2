"""``airflow hybrid workers`` and the commands that control workers.

Orders go through Redis, and workers obey within about a second. Each command waits until the worker itself shows the
new state.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hybrid_executor.cli.output import Column, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.cli.status_command import trouble_of
from hybrid_executor.config import airflow_config, table
from hybrid_executor.config.settings import read_redis
from hybrid_executor.errors import ConfigError
from hybrid_executor.store import Member, Order, RedisSettings, Store, open_store

OBEYED_SECONDS = 15.0
_LOOK_SECONDS = 0.2
_COLUMNS = (
    Column("name", "worker"),
    "state",
    "queues",
    Column("running", is_number=True),
    Column("waiting", is_number=True),
    Column("concurrency", "slots", is_number=True),
    "since",
    Column("last_seen", "last seen"),
)
IsDone = Callable[[Member | None], bool]


@plainly
def workers(args: Namespace) -> None:
    """Show all workers that were alive in the last day."""
    with _configured_store() as store:
        rows = [describe(member, now=time.time()) for member in store.presence.members("worker")]
        if trouble := trouble_of(store):
            print(
                f"airflow hybrid workers: {trouble}; workers cannot report now, so this list may be old",
                file=sys.stderr,
            )
    output = output_of(args)
    output.rows(rows if output.is_data else [_shown(row) for row in rows], _COLUMNS, empty="No workers.")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["since"])) if row["since"] else ""
    age = f"{row['heartbeat_age']:.0f} s ago"
    return {**row, "running": len(row["running"]), "since": since, "last_seen": age}


@plainly
def drain(args: Namespace) -> int:
    """Stop workers from taking new tasks; with ``--undo`` let them take tasks again."""
    with _configured_store() as store:
        chosen = choose(store.presence.members("worker"), name=args.worker, queue=args.queue)
        if args.undo:
            return command(store, chosen, Order("resume"), is_done=lambda m: _state(m) in ("running", "deaf"))
        code = command(store, chosen, Order("drain"), is_done=lambda m: _state(m) in ("draining", "drained", "gone"))
        if code == 0 and args.wait:
            return _await(store, chosen, lambda m: _state(m) in ("drained", "gone"), seconds=args.timeout)
    return code


@plainly
def stop(args: Namespace) -> int:
    """Stop workers after their running tasks have ended."""
    with _configured_store() as store:
        members = store.presence.members("worker")
        chosen = [m for m in members if m.is_alive] if args.all else choose(members, name=args.worker, queue=None)
        return command(store, chosen, Order("stop"), is_done=lambda m: _state(m) in ("draining", "gone"))


@plainly
def add_queue(args: Namespace) -> int:
    """Let a worker serve one more queue."""
    with _configured_store() as store:
        chosen = choose(store.presence.members("worker"), name=args.worker, queue=None)
        is_done: IsDone = lambda m: args.queue in _queues(m) or _state(m) in ("draining", "drained")  # noqa: E731
        return command(store, chosen, Order("add-queue", args.queue), is_done=is_done)


@plainly
def remove_queue(args: Namespace) -> int:
    """Let a worker stop serving a queue."""
    with _configured_store() as store:
        chosen = choose(store.presence.members("worker"), name=args.worker, queue=None)
        order = Order("remove-queue", args.queue)
        return command(store, chosen, order, is_done=lambda m: args.queue not in _queues(m))


def describe(member: Member, *, now: float) -> dict[str, Any]:
    """Return a worker in plain types.

    ``since`` is when it started, in seconds since the epoch by the clock of ``now``; ``heartbeat_age`` is in seconds.
    ``concurrency`` is how many workloads it may run at the same time, ``processes`` how many it has task processes for
    now (autoscaling).
    """
    fields = member.fields
    # The worker's times come from its own clock, which may differ from ours.
    clock = fields.get("clock")
    is_ahead = now - (float(clock) + member.silent_seconds) if clock else 0.0
    now -= is_ahead
    started_at = float(fields.get("started_at") or 0)
    consumed_at = float(fields.get("consumed_at") or 0)
    return {
        "name": member.name,
        "state": fields.get("state", "alive") if member.is_alive else "silent",
        "queues": sorted(_queues(member)),
        "paused_queues": sorted(_queues(member, "paused_queues")),
        "running": json.loads(fields.get("running") or "[]"),
        "waiting": int(fields.get("waiting") or 0),
        "concurrency": int(fields.get("concurrency") or 0),
        "processes": int(fields.get("processes") or 0),
        "hostname": fields.get("hostname", ""),
        "pid": int(fields.get("pid") or 0),
        "since": round(started_at + is_ahead) if started_at else 0.0,
        "heartbeat_age": round(member.silent_seconds, 1),
        "seconds_since_message": round(now - consumed_at, 1) if consumed_at else None,
    }


def choose(members: Sequence[Member], *, name: str | None, queue: str | None) -> list[Member]:
    """Return the live workers with this name or host, or with this queue.

    The queues of a worker that drains are those that it will serve again.

    :raises ConfigError: there is none; the message lists the live workers.
    """
    alive = [member for member in members if member.is_alive]
    if name:
        chosen = [m for m in alive if m.name == name] or [m for m in alive if m.name.partition("@")[2] == name]
    elif queue:
        chosen = [m for m in alive if queue in _queues(m) | _queues(m, "paused_queues")]
    else:
        raise ConfigError(
            "No worker given: write the name of a worker, or an option that selects several (see --help)."
        )
    if not chosen:
        known = ", ".join(member.name for member in alive) or "none"
        meant = f"with the name or host {name}" if name else f"that serves the queue {queue}"
        raise ConfigError(f"There is no live worker {meant}. Live workers: {known}.")
    return chosen


def command(
    store: Store, chosen: Sequence[Member], order: Order, *, is_done: IsDone, seconds: float = OBEYED_SECONDS
) -> int:
    """Give an order to workers and wait until they have obeyed; return 1 if one has not obeyed in time."""
    for member in chosen:
        store.orders.give(member.fields["life"], order)
    return _await(store, chosen, is_done, seconds=seconds)


def _await(store: Store, chosen: Sequence[Member], is_done: IsDone, *, seconds: float | None) -> int:
    deadline = None if seconds is None else time.monotonic() + seconds
    left = {member.name: member.fields["life"] for member in chosen}
    while True:
        found = {member.name: member for member in store.presence.members("worker")}
        for name, life in list(left.items()):
            member = found.get(name)
            if member is not None and member.fields.get("life") != life:
                member = None
            if is_done(member):
                del left[name]
                print(f"{name}: {_words(member)}")
        if not left:
            return 0
        if deadline is not None and time.monotonic() >= deadline:
            for name in left:
                print(f"{name}: has not done it yet; see 'airflow hybrid workers'", file=sys.stderr)
            return 1
        time.sleep(_LOOK_SECONDS)


def _words(member: Member | None) -> str:
    if member is None or not member.is_alive:
        return "gone"
    running = len(json.loads(member.fields.get("running") or "[]"))
    return f"{_state(member)}, {running} running, queues {','.join(sorted(_queues(member))) or 'none'}"


def _state(member: Member | None) -> str:
    return member.fields.get("state", "") if member is not None and member.is_alive else "gone"


def _queues(member: Member | None, field: str = "queues") -> set[str]:
    return {queue for queue in (member.fields.get(field, "") if member else "").split(",") if queue}


@contextmanager
def _configured_store() -> Iterator[Store]:
    conf = airflow_config()
    redis = read_redis(conf)
    if redis is None:
        raise ConfigError("[hybrid_executor] redis_url is not set: write the URL of the Redis that the workers use.")
    store = open_store(RedisSettings(url=redis.url, options=redis.options), instance=table.INSTANCE.read(conf))
    try:
        store.ping()
        yield store
    finally:
        store.close()
