"""Take in that attempts have ended: the time within ``heartbeat()`` until all are in the event buffer.

The workers' writing is not counted. The limit is reading as many entries of the same stream from Redis.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS

_STREAM = "{hybrid:airflow}:events"


def measure(bench: Bench, *, counts: Sequence[int] = (1_000, 10_000)) -> Iterator[Row]:
    """Yield seconds. The budget is 10,000 in a second."""
    for count in counts:
        others = bench.upstream_celery
        remotes = {side: bench.remote(side) for side in (OURS, *others)}
        found = bench.alternate({side: partial(_finish, one, count) for side, one in remotes.items()})
        _finish(remotes[OURS], count)
        limit = median([_read(bench, count) for _ in range(bench.rounds)])
        bench.servers.empty_redis()
        for other in each_or_none(others):
            beside = "; results: Redis" if other in others[1:] else ""
            yield Row(
                benchmark="finish_events",
                metric=f"{count:,} ends{beside}",
                unit="s",
                ours=median(found[OURS]),
                upstream=median(found[other]) if other else None,
                limit=limit,
                budget=Budget(most=count / 10_000),
            )


def _finish(remote: Remote, count: int) -> float:
    remote.ask("start")
    remote.ask("assume_running", count=count)
    seconds: float = remote.ask("end_all")["seconds"]
    remote.ask("stop")
    return seconds


def _read(bench: Bench, count: int) -> float:
    """Return the seconds of reading the last entries of our stream."""
    began = time.perf_counter()
    entries = bench.servers.client.xrevrange(_STREAM, count=count) or []
    seconds = time.perf_counter() - began
    if len(entries) != count:
        raise RuntimeError(f"{len(entries)} events in the stream for {count} ends")
    return seconds
