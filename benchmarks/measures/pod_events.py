"""Take in that pods end: from the answer of the API server to the change of status, to Airflow's event buffer.

Each pod runs and then succeeds. CPU is that of the scheduler and of all processes that the executor has beside it
(agent, or watcher and managers), with what they do until the pod is deleted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psutil

from benchmarks.bench import Bench, median
from benchmarks.cluster import Cluster
from benchmarks.observer import cpu_seconds
from benchmarks.remote import Remote
from benchmarks.rows import Row
from benchmarks.sides import OURS

_RUNNING = {"running": {"startedAt": "2026-11-22T10:00:00Z"}}
_ENDED = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-22T10:00:05Z"}}


def measure(bench: Bench, *, count: int = 300) -> Iterator[Row]:
    """Yield milliseconds from wire to event buffer, and CPU a pod."""
    cluster = bench.servers.cluster
    others = bench.upstream_kubernetes[:1]
    remotes = {side: bench.remote_with_pods(side) for side in (OURS, *others)}
    found = bench.alternate({side: partial(_end, bench, cluster, one, count) for side, one in remotes.items()})
    for name, unit in (("p50", "ms"), ("p99", "ms"), ("scheduler's CPU a pod", "ms"), ("CPU a pod", "ms")):
        yield Row(
            benchmark="pod_events",
            metric=f"{count:,} pods end: {name}",
            unit=unit,
            ours=median([values[name] for values in found[OURS]]),
            upstream=median([values[name] for values in found[others[0]]]) if others else None,
        )


def _end(bench: Bench, cluster: Cluster, remote: Remote, count: int) -> dict[str, float]:
    remote.ask("start")
    remote.ask("await_agent")
    remote.ask("queue", count=count, queue="kubernetes", with_rows=True)
    with bench.beating(remote):
        cluster.wait_for(count)
    # The tasks themselves tell Airflow's API server that they have succeeded.
    remote.ask("change_rows", state="success")
    pods = {pod["metadata"]["labels"]["map_index"]: pod["metadata"]["name"] for pod in cluster.pods()}
    with bench.beating(remote) as beats:
        scheduler, total = psutil.Process(remote.pid), cpu_seconds(remote.pid)
        alone = sum(scheduler.cpu_times()[:2])
        written = _let_all_end(cluster, pods)
        cluster.wait_for(0)
        total = cpu_seconds(remote.pid) - total
        alone = sum(scheduler.cpu_times()[:2]) - alone
    ends = beats.ends
    if len(ends) != count:
        raise RuntimeError(f"{remote.side.name} saw the end of {len(ends)} of {count} pods")
    remote.ask("stop")
    late = [1000 * (ends[index] - written[index]) for index in written]
    cuts = statistics.quantiles(late, n=100)
    return {
        "p50": cuts[49],
        "p99": cuts[98],
        "scheduler's CPU a pod": 1000 * alone / count,
        "CPU a pod": 1000 * total / count,
    }


def _let_all_end(cluster: Cluster, pods: dict[str, Any]) -> dict[str, float]:
    """Return when the API server knew of each end, by map index."""
    for name in pods.values():
        cluster.set_phase(name, "Running", _RUNNING)
    written = {}
    for index, name in pods.items():
        cluster.set_phase(name, "Succeeded", _ENDED)
        written[index] = time.time()
    return written
