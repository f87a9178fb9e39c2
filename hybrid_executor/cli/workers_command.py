"""``airflow hybrid workers`` and the commands that control workers.

Orders go through Redis, and workers obey within about a second. Each command waits until the worker itself shows the
new state.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from typing import Any

from hybrid_executor.cli.acting import code_of, configured_store, say
from hybrid_executor.cli.output import Column, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.cli.status_command import trouble_of
from hybrid_executor.operations import workers as operations
from hybrid_executor.operations.members import names_in
from hybrid_executor.store import Member

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


@plainly
def workers(args: Namespace) -> None:
    """Show all workers that were alive in the last day."""
    with configured_store() as store:
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
    with configured_store() as store:
        chosen = operations.choose_workers(store, name=args.worker, queue=args.queue)
        if args.undo:
            return code_of(operations.resume_workers(store, chosen, report=say))
        code = code_of(operations.drain_workers(store, chosen, report=say))
        if code == 0 and args.wait:
            code = code_of(operations.await_idle_workers(store, chosen, seconds=args.timeout, report=say))
    return code


@plainly
def stop(args: Namespace) -> int:
    """Stop workers after their running tasks have ended."""
    with configured_store() as store:
        chosen = operations.choose_workers(store, name=args.worker, is_for_all=args.all)
        return code_of(operations.stop_workers(store, chosen, report=say))


@plainly
def add_queue(args: Namespace) -> int:
    """Let a worker serve one more queue."""
    with configured_store() as store:
        chosen = operations.choose_workers(store, name=args.worker)
        return code_of(operations.add_queue(store, chosen, args.queue, report=say))


@plainly
def remove_queue(args: Namespace) -> int:
    """Let a worker stop serving a queue."""
    with configured_store() as store:
        chosen = operations.choose_workers(store, name=args.worker)
        return code_of(operations.remove_queue(store, chosen, args.queue, report=say))


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
        "queues": sorted(names_in(member, "queues")),
        "paused_queues": sorted(names_in(member, "paused_queues")),
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
