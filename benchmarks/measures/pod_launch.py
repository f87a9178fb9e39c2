"""Create pods: from the first ``heartbeat()`` with all workloads queued until the API server has all pods.

No kubelet takes these pods. The limits of ours that protect clusters (``pod_creation_rate``, ``starting_pods``) are set
out of the way, and upstream creates 64 pods per loop in place of 1. The limit is creating the same pods from 8 threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.cluster import Cluster
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS, Side


class _Launch(NamedTuple):
    """Seconds until all pods are there, how many in ``heartbeat()``, one of the pods, and what was seen until then."""

    seconds: float
    in_heartbeats: float
    pod: dict[str, Any]
    seen: list[tuple[float, int]]


def measure(bench: Bench, *, count: int = 500) -> Iterator[Row]:
    """Yield pods per second, and milliseconds of the scheduler's thread per pod."""
    cluster = bench.servers.cluster
    remotes = {side: bench.remote_with_pods(side) for side in (OURS, *bench.upstream_kubernetes)}
    found = bench.alternate({side: partial(_launch, bench, cluster, one, count) for side, one in remotes.items()})
    for side, launches in found.items():
        bench.series[f"pod_launch, seconds and pods: {side.name}"] = sorted(launches, key=lambda one: one.seconds)[
            len(launches) // 2
        ].seen
    limits = []
    for _ in range(bench.rounds):
        limits.append(cluster.create_as_fast_as_possible(found[OURS][0].pod, count=count))
        cluster.clear()
    rates = {side: count / median([one.seconds for one in values]) for side, values in found.items()}
    in_scheduler = {
        side: 1000 * median([one.in_heartbeats for one in values]) / count for side, values in found.items()
    }
    for other in each_or_none(bench.upstream_kubernetes):
        yield Row(
            benchmark="pod_launch",
            metric=f"{count:,} pods{_beside(bench, other)}",
            unit="1/s",
            ours=rates[OURS],
            upstream=rates[other] if other else None,
            limit=count / median(limits),
            more_is_better=True,
            budget=Budget(times=6, share=0.6),
        )
    for other in each_or_none(bench.upstream_kubernetes):
        yield Row(
            benchmark="pod_launch",
            metric=f"scheduler's thread a pod{_beside(bench, other)}",
            unit="ms",
            ours=in_scheduler[OURS],
            upstream=in_scheduler[other] if other else None,
        )


def _beside(bench: Bench, other: Side | None) -> str:
    return "; async_pod_creation" if other in bench.upstream_kubernetes[1:] else ""


def _launch(bench: Bench, cluster: Cluster, remote: Remote, count: int) -> _Launch:
    remote.ask("start")
    remote.ask("await_agent")
    remote.ask("queue", count=count, queue="kubernetes", with_rows=True)
    with bench.beating(remote) as beats:
        began = time.perf_counter()
        seen = cluster.wait_for(count)
        seconds = time.perf_counter() - began
    pod = cluster.pods()[0]
    remote.ask("stop")
    cluster.clear()
    return _Launch(seconds, beats.seconds, pod, seen)
