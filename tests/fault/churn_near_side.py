"""The scheduler's side of a churn test: task instances in a database, the real executor, and what all of it saw."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from hybrid_executor.states import State
from tests.fault.churn import QUEUE
from tests.integration import rows
from tests.integration.conftest import make_task

_STREAM = "{hybrid:airflow}:events"
LASTING_KEYS = {
    f"_kombu.binding.{QUEUE}",
    f"_kombu.binding_permanent.{QUEUE}",
    "_kombu.binding.celery.pidbox",
    "_kombu.binding_deadlines",
    _STREAM,
}


def make_rows(count: int, *, queue_of: Callable[[int], str] = lambda _: QUEUE) -> tuple[list[Any], str]:
    """Return the workloads of ``count`` mapped task instances that are queued, and the file of the database."""
    workloads = [make_task(map_index=index, queue=queue_of(index)) for index in range(count)]
    with rows.open_session() as session:
        path = str(session.get_bind().url.database)
        rows.clear(session)
        rows.insert_tasks(session, workloads, version=rows.insert_dag(session))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    return workloads, path


class NearSide:
    """Hands workloads to an executor and notes what that tells the scheduler."""

    def __init__(self, executor: Any, workloads: list[Any]) -> None:
        self._executor = executor
        self._workloads = workloads
        self.ends: dict[int, list[tuple[str, str]]] = defaultdict(list)
        self.count_ended = 0
        for workload in workloads:
            executor.queue_workload(workload, session=None)

    def beat(self) -> None:
        """Do what the scheduler does in each of its loops."""
        self._executor.heartbeat()
        for key, (state, info) in self._executor.get_event_buffer().items():
            if state.value in ("success", "failed"):
                self.ends[key.map_index].append((state.value, str(info)))
                self.count_ended += 1


class Evidence:
    """What is left of a run, by the number of the task instance.

    :ivar told: the ends that the executor told the scheduler, as state and words.
    :ivar recorded: the state of each record; ``streamed``: the final states of each attempt on the events stream.
    :ivar begun, ended: how often each body began, and ended.
    """

    def __init__(self, url: str, near_side: NearSide, workloads: list[Any], marks: Path) -> None:
        self.told = near_side.ends
        numbers = {workload.ti.external_executor_id: workload.ti.map_index for workload in workloads}
        self.streamed: dict[int, list[str]] = defaultdict(list)
        self.claims: dict[int, int] = defaultdict(int)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            for _, entry in client.xrange(_STREAM):
                number, state = numbers[entry["attempt"]], State(entry["state"])
                self.claims[number] += state is State.RUNNING
                if state.is_terminal:
                    self.streamed[number].append(state.value)
            pipeline = client.pipeline(transaction=False)
            for attempt in numbers:
                pipeline.hget(f"{{hybrid:airflow}}:attempt:{attempt}", "state")
            self.recorded = dict(zip(numbers.values(), pipeline.execute(), strict=True))
        self.begun: dict[int, int] = defaultdict(int)
        self.ended: dict[int, int] = defaultdict(int)
        for line in marks.read_text(encoding="ascii").splitlines():
            what, number = line.split()
            (self.begun if what == "begin" else self.ended)[int(number)] += 1


def left_in(url: str) -> dict[str, int]:
    """Return what of the messages and the attempts' bookkeeping a server still holds, empty for nothing."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        counts = {
            "queue": client.llen(QUEUE),
            "unacked": client.hlen("unacked"),
            "unacked_index": client.zcard("unacked_index"),
            "live": client.scard("{hybrid:airflow}:live:celery"),
            "owned": client.scard("{hybrid:airflow}:owner:1"),
            "payloads": sum(1 for _ in client.scan_iter("*payload:*", count=1000)),
        }
    return {name: int(count) for name, count in counts.items() if count}


def lasting_keys(url: str) -> set[str]:
    """Return the keys that never expire."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {key for key in client.scan_iter(count=1000) if client.ttl(key) == -1}
