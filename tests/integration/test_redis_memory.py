"""What attempts need of Redis' memory, and that docs/redis.md says at least as much."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, make_task, queue
from tests.waiting import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
DOCUMENTED = {
    (what, pool): int(number.replace(",", ""))
    for what, *cells in re.findall(
        r"^\| (an attempt that \w+|one event) \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.MULTILINE
    )
    for pool, number in zip(("celery", "kubernetes"), cells, strict=True)
}
PREFIX = "{hybrid:airflow}:"
COUNT = 1000
RUN = "scheduled__2026-01-01T00:00:00+00:00"
TOKEN = "x" * 600  # as long as the tokens that Airflow makes


@pytest.mark.parametrize(("pool", "of_queue"), [("celery", "default"), ("kubernetes", QUEUE_OF_PODS)])
def test_an_attempt_needs_at_most_the_documented_bytes(
    make_executor: Callable[..., Any], store: Store, redis_url: str, pool: str, of_queue: str
) -> None:
    executor = make_executor(hybrid_executor__celery_parallelism="2000", hybrid_executor__kubernetes_parallelism="2000")
    executor.parallelism = 2 * COUNT
    workloads = [
        make_task(f"transform_and_load_{n:04}", queue=of_queue, dag_id="daily_sales", run_id=RUN) for n in range(COUNT)
    ]
    for workload in workloads:
        workload.token = TOKEN
    with redis.Redis.from_url(redis_url) as client:

        def used() -> int:
            return int(client.info("memory")["used_memory"])

        def per_attempt() -> float:
            return (used() - before) / COUNT

        queue(executor, make_task(queue=of_queue))
        executor.heartbeat()
        before = used()
        attempts = queue(executor, *workloads)
        wait_until(lambda: (executor.heartbeat(), client.scard(f"{PREFIX}live:{pool}") > COUNT)[1])
        measured = {"an attempt that waits": per_attempt()}
        events: Any = client.memory_usage(f"{PREFIX}events", samples=0)
        measured["one event"] = events / client.xlen(f"{PREFIX}events")
        if pool == "celery":
            client.ltrim("default", -1, -1)
        for attempt in attempts:
            store.attempts.claim(attempt, worker="celery@worker-0", pool=pool)
        client.xtrim(f"{PREFIX}events", maxlen=0, approximate=False)
        measured["an attempt that runs"] = per_attempt()
        for attempt in attempts:
            store.attempts.advance(Change(attempt=attempt, to=State.SUCCEEDED))
        client.xtrim(f"{PREFIX}events", maxlen=0, approximate=False)
        measured["an attempt that ended"] = per_attempt()
    for what, size in measured.items():
        assert DOCUMENTED[what, pool] / 2 < size <= DOCUMENTED[what, pool], (what, size)
