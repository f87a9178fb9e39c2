"""Adopt the attempts of a dead scheduler that run on workers: ``try_adopt_task_instances``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS

_UNITS = {"seconds": "s", "redis": "count", "database": "count"}
_NAMES = {"seconds": "time", "redis": "Redis round trips", "database": "database statements"}


def measure(bench: Bench, *, counts: Sequence[int] = (1_000, 10_000)) -> Iterator[Row]:
    """Yield seconds, round trips to Redis and statements to the database."""
    others = bench.upstream_celery
    remotes = {side: bench.remote(side) for side in (OURS, *others)}
    for count in counts:
        found = bench.alternate({side: partial(_adopt, one, count) for side, one in remotes.items()})
        for other in each_or_none(others):
            beside = "; results: Redis" if other in others[1:] else ""
            for what, unit in _UNITS.items():
                yield Row(
                    benchmark="adoption",
                    metric=f"{count:,} attempts: {_NAMES[what]}{beside}",
                    unit=unit,
                    ours=median([values[what] for values in found[OURS]]),
                    upstream=median([values[what] for values in found[other]]) if other else None,
                    budget=Budget(most=1.0) if what == "seconds" else Budget(),
                )


def _adopt(remote: Remote, count: int) -> dict[str, float]:
    remote.ask("start")
    remote.ask("assume_running", count=count, with_rows=True)
    found: dict[str, float] = remote.ask("adopt")
    remote.ask("stop")
    return found
