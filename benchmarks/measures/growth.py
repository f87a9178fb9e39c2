"""What grows with the number of attempts, and what must not. Upstream has no way to let time pass.

First the scheduler's loop, with many attempts queued and many running: a heartbeat without news, and the longest one of
a minute in which all timed repairs are done. Then many short attempts, one after the other: memory of the scheduler and
what is left in Redis. After each round the benchmark deletes what a deployment deletes by age: records of attempts that
have ended (``record_retention``), and all but the newest 10,000 events (``event_retention``).
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from benchmarks.bench import Bench, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS

_RECORDS = "{hybrid:airflow}:attempt:*"
_EVENTS = "{hybrid:airflow}:events"
_PROBE = "{hybrid:airflow}:probe"  # is there for a second at a time: a scheduler looks whether Redis takes writes
_KEPT_EVENTS = 10_000
_REPAIR_SECONDS = 10


def measure(
    bench: Bench, *, queued: int = 100_000, running: int = 50_000, through: int = 100_000, rounds: int = 10
) -> Iterator[Row]:
    """Yield milliseconds of heartbeats, then how memory and keys changed from the second round to the last."""
    remote = bench.remote(OURS)
    bench.servers.empty_redis()
    yield from _wide(remote, queued=queued, running=running)
    bench.servers.empty_redis()
    yield from _long(bench, remote, each=through // rounds, rounds=rounds)
    bench.servers.empty_redis()


def _wide(remote: Remote, *, queued: int, running: int) -> Iterator[Row]:
    remote.ask("start")
    remote.ask("assume_running", count=running)
    # A repair asks the database whether Airflow still waits for them.
    remote.ask("queue", count=queued, with_rows=True)
    remote.ask("submit")
    idle = remote.ask("heartbeats", times=50)
    longest = 0.0
    for _ in range(60 // _REPAIR_SECONDS):
        remote.ask("pass_time", seconds=_REPAIR_SECONDS)
        longest = max(longest, *remote.ask("heartbeats", times=3))
    remote.ask("stop")
    many = f"{queued:,} queued, {running:,} running"
    for name, value, budget in (
        ("heartbeat, p50", median(idle), 2.0),
        ("heartbeat with repairs, max", longest, 5_000.0),
    ):
        yield Row(benchmark="growth", metric=f"{many}: {name}", unit="ms", ours=value, budget=Budget(most=budget))


def _long(bench: Bench, remote: Remote, *, each: int, rounds: int) -> Iterator[Row]:
    client = bench.servers.client
    scheduler = psutil.Process(remote.pid)
    memory: list[float] = []
    keys: list[int] = []
    held: list[float] = []
    cpu = 0.0
    remote.ask("start")
    for _ in range(rounds):
        before = _redis_cpu(bench)
        remote.ask("queue", count=each)
        remote.ask("submit")
        remote.ask("run_all")
        remote.ask("end_all")
        remote.ask("forget")
        cpu += _redis_cpu(bench) - before
        client.delete("default")  # the workers have taken the messages
        pipeline = client.pipeline(transaction=False)
        for key in client.scan_iter(match=_RECORDS, count=10_000):
            pipeline.delete(key)
        pipeline.xtrim(_EVENTS, maxlen=_KEPT_EVENTS, approximate=False)
        pipeline.execute()
        memory.append(scheduler.memory_info().rss / 1e6)
        keys.append(client.dbsize() - client.exists(_PROBE))
        held.append(client.info("memory")["used_memory"] / 1e6)
    remote.ask("stop")
    span = f"{2 * each:,} to {rounds * each:,} attempts"
    first = min(1, rounds - 1)
    for name, values, unit, most in (
        ("scheduler's memory", memory, "MB", 10.0),
        ("keys in Redis", [float(count) for count in keys], "count", 0.0),
        ("memory of Redis", held, "MB", 5.0),
    ):
        bench.series[f"growth, {name} ({unit}) after each {each:,} attempts"] = values
        yield Row(
            benchmark="growth",
            metric=f"{name}, from {span}",
            unit=unit,
            ours=max(0.0, values[-1] - values[first]),
            budget=Budget(most=most),
        )
    yield Row(
        benchmark="growth",
        metric="CPU of Redis: an attempt from queued to ended",
        unit="us",
        ours=1e6 * cpu / (each * rounds),
    )


def _redis_cpu(bench: Bench) -> float:
    used = bench.servers.client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
