"""Hand workloads to Celery: ``heartbeat()`` until all that was queued is in the broker.

The limit is what redis-py and the server need for a pipeline of LPUSH with the same messages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import redis

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.remote import Remote
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS

_QUEUE = "default"
_WARM_UP = 50


def measure(
    bench: Bench, *, counts: Sequence[int] = (1_000, 10_000), delays_ms: Sequence[int] = (0, 2)
) -> Iterator[Row]:
    """Yield workloads per second, and the scheduler's CPU time, which a busy machine changes less than the rate.

    Upstream keeps its results in the database, with the smallest count also in Redis.
    """
    for delay_ms in delays_ms:
        for count in counts:
            others = bench.upstream_celery if count == min(counts) else bench.upstream_celery[:1]
            remotes = {side: bench.remote(side, delay_ms=delay_ms) for side in (OURS, *others)}
            for remote in remotes.values():
                _dispatch(remote, _WARM_UP)
            found = bench.alternate({side: partial(_dispatch, remote, count) for side, remote in remotes.items()})
            rates = {side: count / median([one["seconds"] for one in values]) for side, values in found.items()}
            cpu = {side: 1e6 * median([one["cpu"] for one in values]) / count for side, values in found.items()}
            _dispatch(remotes[OURS], count)
            messages = bench.servers.client.lrange(_QUEUE, 0, -1)
            if len(messages) != count:
                raise RuntimeError(f"{len(messages)} messages in the broker for {count} workloads")
            limit = count / median([_push(bench, messages, delay_ms=delay_ms) for _ in range(bench.rounds)])
            for other in each_or_none(others):
                beside = "; results: Redis" if other in bench.upstream_celery[1:] else ""
                yield Row(
                    benchmark="celery_dispatch",
                    metric=f"{count:,} workloads, {delay_ms} ms{beside}",
                    unit="1/s",
                    ours=rates[OURS],
                    upstream=rates[other] if other else None,
                    limit=limit,
                    more_is_better=True,
                    budget=Budget(times=20 if delay_ms else 5),
                )
            if delay_ms == min(delays_ms):
                yield Row(
                    benchmark="celery_dispatch",
                    metric=f"{count:,} workloads: CPU of each",
                    unit="us",
                    ours=cpu[OURS],
                    upstream=cpu[others[0]] if others else None,
                )


def _dispatch(remote: Remote, count: int) -> dict[str, float]:
    remote.ask("start")
    remote.ask("queue", count=count, queue=_QUEUE)
    taken: dict[str, float] = remote.ask("submit")
    remote.ask("stop")
    return taken


def _push(bench: Bench, messages: Sequence[bytes], *, delay_ms: int) -> float:
    """Return the seconds of a pipeline that pushes messages."""
    with redis.Redis.from_url(bench.servers.redis_url(delay_ms)) as client:
        client.ping()
        began = time.perf_counter()
        pipeline = client.pipeline(transaction=False)
        for message in messages:
            pipeline.lpush(_QUEUE, message)
        pipeline.execute()
        seconds = time.perf_counter() - began
    bench.servers.empty_redis()
    return seconds
