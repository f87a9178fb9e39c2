"""``airflow hybrid events``: each change of state of an attempt, as it is written; one JSON object per line."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from hybrid_executor.cli.asking import configured
from hybrid_executor.cli.durations import parse_duration
from hybrid_executor.cli.output import Output
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, Event, StreamId, stream_position
from hybrid_executor.store import Record, Store

_LOOK_SECONDS = 0.5
_AT_ONCE = 1000
_NAMES = ("kind", "dag_id", "task_id", "run_id", "map_index", "try_number", "queue")


@plainly
def events(args: Namespace) -> None:
    """Print the events of the last while, and with ``--follow`` those that come, until Ctrl-C."""
    since = parse_duration(args.since, option="--since") if args.since else None
    output = Output(args.output or "json")
    with configured() as (store, _):
        store.ping()
        now = store.view.now()
        # With --follow alone, only what comes from now on.
        before_seconds = since if since is not None else 0.0 if args.follow else 600.0
        cursor = StreamId(f"{max(0, now - int(before_seconds * 1000))}-0")
        try:
            for batch in read_batches(store, cursor, is_following=args.follow):
                _print(batch, output)
        except KeyboardInterrupt:
            return


def read_batches(store: Store, cursor: StreamId, *, is_following: bool) -> Iterator[list[dict[str, Any]]]:
    """Yield events after a cursor with what their records say of the task, a batch at a time.

    :param is_following: go on for ever, also over an outage of Redis.
    """
    is_out = False
    while True:
        try:
            found, cursor = store.view.events_after(cursor, most=_AT_ONCE)
            described = _describe(store, found)
        except StoreUnavailable as error:
            if not is_following:
                raise
            if not is_out:
                print(f"airflow hybrid: {error}; trying again", file=sys.stderr, flush=True)
            is_out = True
            time.sleep(_LOOK_SECONDS)
            continue
        is_out = False
        if described:
            yield described
        if not is_following and len(found) < _AT_ONCE:
            return
        if len(found) < _AT_ONCE:
            time.sleep(_LOOK_SECONDS)


def _describe(store: Store, found: Sequence[Event]) -> list[dict[str, Any]]:
    attempts = list(dict.fromkeys(AttemptId(event.attempt) for event in found))
    records = {record.id: record for record in store.view.records(attempts, _NAMES)} if attempts else {}
    return [_row(event, records.get(event.attempt)) for event in found]


def _row(event: Event, record: Record | None) -> dict[str, Any]:
    milliseconds, _ = stream_position(event.id)
    at = datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)
    row: dict[str, Any] = {
        "time": at.isoformat(timespec="milliseconds"),
        "id": event.id,
        "attempt": event.attempt,
        "state": event.state,
        "pool": event.pool,
        "holder": event.holder,
        "reason": event.reason,
        "owner": event.owner,
        "generation": event.generation,
    }
    if record is not None and not record.trouble:
        row |= {name: getattr(record, name) for name in _NAMES}
    return row


def _print(rows: Sequence[dict[str, Any]], output: Output) -> None:
    if output.format == "json":
        for row in rows:
            print(json.dumps(row))
    elif output.format == "yaml":
        output.data(rows)
    else:
        for row in rows:
            task = f"{row['dag_id']}.{row['task_id']}" if row.get("dag_id") else row["attempt"]
            words = [row["time"][11:23], f"{row['state']:<10}", task, row["holder"], row["reason"]]
            output.words(" ".join(str(word) for word in words if word))
    sys.stdout.flush()
