"""What an executor needs beside the scheduler, and what an attempt needs in Redis.

Memory is the proportional set size: what processes share after a fork counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import psutil

from benchmarks.bench import Bench, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS

_BESIDE = {"processes": "count", "memory": "MB", "threads": "count", "connections": "count"}


def measure(bench: Bench, *, count: int = 2_000) -> Iterator[Row]:
    """Yield what runs beside the scheduler while nothing is queued, then the bytes of an attempt in Redis."""
    others = bench.upstream_kubernetes[:1]
    remotes = {side: bench.remote_with_pods(side) for side in (OURS, *others)}
    found = bench.alternate({side: partial(_stand_by, one) for side, one in remotes.items()}, rounds=1)
    for what, unit in _BESIDE.items():
        yield Row(
            benchmark="footprint",
            metric=f"{what} beside the scheduler" if what != "connections" else "connections, with the scheduler's",
            unit=unit,
            ours=found[OURS][0][what],
            upstream=found[others[0]][0][what] if others else None,
            budget=Budget(most=180) if what == "memory" else Budget(),
        )
    others = bench.upstream_celery[1:]
    remotes = {side: bench.remote(side) for side in (OURS, *others)}
    bytes_of = bench.alternate({side: partial(_fill, bench, one, count) for side, one in remotes.items()})
    for state in ("queued", "finished"):
        yield Row(
            benchmark="footprint",
            metric=f"Redis, per {state} attempt" + ("; results: Redis" if others else ""),
            unit="byte",
            ours=median([values[state] for values in bytes_of[OURS]]),
            upstream=median([values[state] for values in bytes_of[others[0]]]) if others else None,
        )


def _stand_by(remote: Remote) -> dict[str, float]:
    remote.ask("start")
    remote.ask("await_agent")
    remote.ask("heartbeats", times=10)
    scheduler = psutil.Process(remote.pid)
    beside = scheduler.children(recursive=True)
    found = {
        "processes": len(beside),
        "memory": sum(process.memory_full_info().pss for process in beside) / 1e6,
        "threads": sum(process.num_threads() for process in beside),
        "connections": sum(
            link.status == psutil.CONN_ESTABLISHED for one in (scheduler, *beside) for link in one.net_connections()
        ),
    }
    remote.ask("stop")
    return found


def _fill(bench: Bench, remote: Remote, count: int) -> dict[str, float]:
    client = bench.servers.client
    remote.ask("start")
    before = client.info("memory")["used_memory"]
    remote.ask("queue", count=count)
    remote.ask("submit")
    queued = client.info("memory")["used_memory"] - before
    client.delete("default")  # the workers have taken the messages
    remote.ask("run_all")
    remote.ask("end_all")
    finished = client.info("memory")["used_memory"] - before
    remote.ask("stop")
    return {"queued": queued / count, "finished": finished / count}
