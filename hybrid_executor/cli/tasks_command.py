"""``airflow hybrid tasks``: the attempts that wait, run or ended lately, with what they wait for or why they ended."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from hybrid_executor.cli.asking import configured
from hybrid_executor.cli.durations import parse_duration
from hybrid_executor.cli.output import BAD, GOOD, WARN, Column, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.errors import ConfigError
from hybrid_executor.insight.attempts import AttemptFilter, AttemptView, read_attempts
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.facts import POOLS
from hybrid_executor.states import State

_STATES = tuple(state.value for state in State if state is not State.UNKNOWN)
_STYLES = {"running": GOOD, "succeeded": GOOD, "failed": BAD, "lost": BAD, "revoked": WARN}


@plainly
def tasks(args: Namespace) -> None:
    """Show attempts, those that have been in their state for longest first."""
    wanted = filter_of(args)
    output = output_of(args)
    with configured() as (store, _):
        store.ping()
        found = read_attempts(store, wanted, limit=args.limit + 1)
    shown = found[: args.limit]
    if output.is_data:
        output.data(shown)
        return
    is_wide = output.format == "plain"
    output.rows(
        [row_of(view) for view in shown],
        [
            *("task", *(["run"] if is_wide or (wanted.dag and not wanted.run) else [])),
            *(Column("state", style=_style), Column("for", is_number=True), "queue", "where"),
            *(["id"] if is_wide else []),
        ],
        below="note",
        empty="No such attempts." if wanted != AttemptFilter() else "No live attempts. --ended shows those that ended.",
    )
    if len(found) > args.limit:
        output.words(f"There are more; --limit {args.limit * 10} shows more of them.")


def filter_of(args: Namespace) -> AttemptFilter:
    """Return what the arguments ask for.

    :raises ConfigError: a value cannot be used.
    """
    if args.state and args.state not in _STATES:
        raise ConfigError(f"--state {args.state!r} is unknown: write one of {', '.join(_STATES)}.")
    if args.pool and args.pool not in POOLS:
        raise ConfigError(f"--pool {args.pool!r} has no attempts in Redis: write {' or '.join(POOLS)}.")
    if args.limit < 1:
        raise ConfigError("--limit must be at least 1.")
    return AttemptFilter(
        dag=args.dag or "",
        run=args.run or "",
        task=args.task or "",
        queue=args.queue or "",
        pool=args.pool or "",
        state=args.state or "",
        older_than=parse_duration(args.older_than, option="--older-than") if args.older_than else None,
        failed=args.failed,
        ended=args.ended,
    )


def row_of(view: AttemptView) -> dict[str, Any]:
    """Return an attempt as a line of the table."""
    is_pod = view.pool == "kubernetes"
    place = view.pod if is_pod and view.pod else view.holder or view.received_by
    tried = f" (try {view.try_number})" if view.try_number > 1 else ""
    return {
        "task": f"{view.name}{tried}" if view.kind == "task" else f"{view.kind} {view.id}",
        "run": view.run_id,
        "state": view.state,
        "for": in_words(view.age),
        "queue": view.queue,
        "where": place,
        "note": view.trouble or view.note or view.reason,
        "id": view.id,
    }


def _style(row: Mapping[str, Any]) -> str:
    return _STYLES.get(str(row["state"]), "")
