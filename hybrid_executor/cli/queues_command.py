"""``airflow hybrid queues``: what waits and runs in each queue, for how long, and who serves it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from hybrid_executor.cli.asking import configured
from hybrid_executor.cli.output import BAD, Column, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.queues import read_queues


@plainly
def queues(args: Namespace) -> int:
    """Show the queues that have attempts or workers; return 1 if work waits in one that nobody serves."""
    output = output_of(args)
    with configured() as (store, settings):
        store.ping()
        found = read_queues(store, settings)
    if output.is_data:
        output.data(found)
    else:
        output.rows(
            [
                {
                    "queue": view.name,
                    "pool": view.pool,
                    "waiting": view.depth,
                    "for": in_words(view.oldest_age) if view.depth else "",
                    "running": view.running,
                    "share": f"{view.share:g}",
                    "free slots": f"{view.free} of {view.slots}" if view.slots else "",
                    "served by": ", ".join(view.served_by) or "nobody",
                    "is_bad": bool(view.advice),
                }
                for view in found
            ],
            [
                *("queue", "pool", Column("waiting", is_number=True), Column("for", is_number=True)),
                *(Column("running", is_number=True), Column("free slots", title="free", is_number=True)),
                *([Column("share", is_number=True)] if settings.shares.shares else []),
                Column("served by", style=_style),
            ],
            empty="No queue has attempts or workers.",
        )
        for view in found:
            output.words(view.advice and f"{view.advice}.", style=BAD)
    return int(any(view.advice for view in found))


def _style(row: Mapping[str, Any]) -> str:
    return BAD if row["is_bad"] else ""
