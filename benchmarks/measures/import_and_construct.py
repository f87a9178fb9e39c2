"""Import and construct the executor without starting it, as each process of the API server does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.rows import Row
from benchmarks.sides import KUBERNETES, OURS, Side


def measure(bench: Bench, *, times: int = 3) -> Iterator[Row]:
    """Yield milliseconds and MB, each from new processes; ours serves both queues of workers and of pods."""
    others = [] if bench.only_ours else [*bench.upstream_celery[:1], KUBERNETES]
    found = bench.alternate({side: partial(_load, bench, side) for side in (OURS, *others)}, rounds=times)
    for unit, name in (("ms", "time"), ("mb", "memory")):
        for other in each_or_none(others):
            yield Row(
                benchmark="import_and_construct",
                metric=f"{name}, beside {other.executor}" if other else name,
                unit={"mb": "MB"}.get(unit, unit),
                ours=median([values[unit] for values in found[OURS]]),
                upstream=median([values[unit] for values in found[other]]) if other else None,
            )


def _load(bench: Bench, side: Side) -> dict[str, float]:
    with bench.new_remote(side) as remote:
        found: dict[str, float] = remote.ask("load")
    return found
