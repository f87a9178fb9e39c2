"""``heartbeat()`` while attempts run on workers and nothing new has happened.

The median leaves out the timed repairs of ours, which are due every half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.bench import Bench, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS


def measure(bench: Bench, *, counts: Sequence[int] = (100, 1_000, 10_000, 50_000), times: int = 50) -> Iterator[Row]:
    """Yield milliseconds by the number of running attempts, then how they grow from the least to the most."""
    others = bench.upstream_celery[1:]  # with results in Redis, which is upstream's quicker way
    remotes = {side: bench.remote(side) for side in (OURS, *others)}
    found: list[dict[str, float]] = []
    for count in counts:
        measured = bench.alternate({side: partial(_rest, one, count, times) for side, one in remotes.items()})
        found.append({side.name: median(values) for side, values in measured.items()})
        yield Row(
            benchmark="idle_heartbeat",
            metric=f"{count:,} attempts running",
            unit="ms",
            ours=found[-1][OURS.name],
            upstream=found[-1][others[0].name] if others else None,
            budget=Budget(most=2.0),
        )
    if len(counts) > 1:
        yield Row(
            benchmark="idle_heartbeat",
            metric=f"growth from {min(counts):,} to {max(counts):,}",
            unit="times",
            ours=found[-1][OURS.name] / found[0][OURS.name],
            upstream=found[-1][others[0].name] / found[0][others[0].name] if others else None,
        )


def _rest(remote: Remote, count: int, times: int) -> float:
    remote.ask("start")
    remote.ask("assume_running", count=count)
    milliseconds = median(remote.ask("heartbeats", times=times))
    remote.ask("stop")
    return milliseconds
