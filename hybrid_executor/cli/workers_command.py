"""``airflow hybrid workers`` and the commands that control workers.

Orders go through Redis, and workers obey within about a second. Each command waits until the worker itself shows the
new state.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

from hybrid_executor.cli.acting import code_of, configured_store, say
from hybrid_executor.cli.output import Column, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.cli.status_command import trouble_of
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.members import view_worker
from hybrid_executor.insight.plain import to_plain
from hybrid_executor.operations import workers as operations

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
        found = [view_worker(member, now=time.time()) for member in store.presence.members("worker")]
        if trouble := trouble_of(store):
            print(
                f"airflow hybrid workers: {trouble}; workers cannot report now, so this list may be old",
                file=sys.stderr,
            )
    output = output_of(args)
    rows: list[dict[str, Any]] = [to_plain(view) for view in found]
    output.rows(rows if output.is_data else [_shown(row) for row in rows], _COLUMNS, empty="No workers.")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["since"])) if row["since"] else ""
    age = f"{in_words(row['heartbeat_age'])} ago"
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
