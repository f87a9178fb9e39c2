"""Faults that a fixed seed chooses, over a small load of both pools: each attempt runs once and ends once.

``make soak`` does the same to a whole Airflow, for as long as wanted.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis

from hybrid_executor.executor import HybridExecutor
from hybrid_executor.sandbox.objects import PODS
from tests.fault.churn import QUEUE, ChurnedWorker, Server
from tests.fault.churn_near_side import left_in, make_rows
from tests.fault.in_process import start_agent, start_executor
from tests.faulty_sandbox import FaultySandbox
from tests.integration.agent.conftest import RunningAgent
from tests.integration.conftest import QUEUE_OF_PODS, as_task_instance, set_options
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

SEED = int(os.environ.get("HYBRID_TEST_SEED", "11"))
ROUND = (QUEUE,) * 5 + (QUEUE_OF_PODS,) * 2
_TASK = """
import json, os, sqlite3, sys, time
index = json.loads(sys.argv[-1])["ti"]["map_index"]
def note(what):
    marks = os.open({marks!r}, os.O_WRONLY | os.O_APPEND)
    os.write(marks, f"{{what}} {{index}}\\n".encode())
database = sqlite3.connect({database!r}, timeout=60, isolation_level=None)
start = "UPDATE task_instance SET state = 'running' WHERE map_index = ? AND state = 'queued'"
if not database.execute(start, (index,)).rowcount:
    sys.exit("Airflow lets no task start twice")
note("begin")
note("end")
database.execute("UPDATE task_instance SET state = 'success' WHERE map_index = ?", (index,))
"""


class Small:
    """Two executors, an agent, a worker, a Redis and a cluster; what they run are one-line programs."""

    def __init__(self, home: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
        self.marks = home / "marks"
        self.marks.touch()
        queues = [queue for _ in range(rounds) for queue in ROUND]
        self.workloads, self.database = make_rows(len(queues), queue_of=queues.__getitem__)
        self.waiting = list(self.workloads)
        self.told: Counter[tuple[int, str]] = Counter()
        self.server = Server(home / "valkey")
        stack.callback(self.server.stop)
        self.sandbox = FaultySandbox().start()
        stack.callback(self.sandbox.stop, grace_seconds=0.2)
        self.sandbox.write_kubeconfig(home / "kubeconfig")
        self._set_options(home, monkeypatch)
        self.executors: dict[int, HybridExecutor] = {}
        self._jobs = iter(range(1, 100))
        for _ in range(2):
            self.start_executor()
        stack.callback(lambda: [executor.terminate() for executor in self.executors.values()])
        self.worker = ChurnedWorker("worker@small", home, self._worker_environment(home), concurrency=2)
        self.worker.start()
        stack.callback(self.worker.kill)
        self.agent = self.start_agent()
        stack.callback(lambda: self.agent.stop())
        self.worker.wait_until_ready()

    def _set_options(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / "task.py").write_text(_TASK.format(marks=str(self.marks), database=self.database))
        command = f'["{sys.executable}", "-S", "{home / "task.py"}"]'
        template = "apiVersion: v1\nkind: Pod\nspec:\n  restartPolicy: Never\n  containers:\n"
        (home / "pod.yaml").write_text(f"{template}  - name: base\n    image: task:1\n    command: {command}\n")
        set_options(
            monkeypatch,
            celery__broker_url=self.server.url,
            hybrid_executor__redis_url=self.server.url,
            hybrid_executor__routes=f"{QUEUE_OF_PODS}=kubernetes, *=celery",
            hybrid_executor__agent="external",
            hybrid_executor__agent_lease="2",
            hybrid_executor__repair_interval="1",
            hybrid_executor__worker_lost_after="5",
            kubernetes_executor__in_cluster="False",
            kubernetes_executor__config_file=str(home / "kubeconfig"),
            kubernetes_executor__pod_template_file=str(home / "pod.yaml"),
            kubernetes_executor__delete_worker_pods_on_failure="True",
        )

    def _worker_environment(self, home: Path) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW__")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        churn = {"REDIS": self.server.url, "MARKS": str(self.marks), "DATABASE": self.database}
        churn |= {"ACKS_LATE": "True", "PREFETCH": "1", "VISIBILITY": "30"}
        return kept | {"AIRFLOW_HOME": str(home)} | {f"CHURN_{name}": text for name, text in churn.items()}

    def start_executor(self) -> None:
        """Start the executor of a new scheduler."""
        job = next(self._jobs)
        self.executors[job] = start_executor(job, parallelism=32)

    def start_agent(self) -> RunningAgent:
        """Start an agent."""
        return start_agent("agent")

    def beat(self) -> None:
        """Do what the schedulers do in each of their loops."""
        for executor in self.executors.values():
            executor.heartbeat()
            for key, (state, info) in executor.get_event_buffer().items():
                if state.value in ("success", "failed"):
                    self.told[key.map_index, state.value] += 1
                    assert state.value == "success", (key, info)
        time.sleep(0.1)

    def beat_until(self, holds: Callable[[], object], *, what: str) -> None:
        """Beat until something holds."""
        wait_until(lambda: (self.beat(), holds())[1], what=lambda: f"{what}: {self.how_it_stands()}")

    def how_it_stands(self) -> str:
        """Return what is not quiet, for the message of a failure."""
        lines = [f"{self.count()} of {len(self.workloads)} have succeeded; left: {left_in(self.server.url)}"]
        with redis.Redis.from_url(self.server.url, decode_responses=True) as client:
            for job, executor in self.executors.items():
                assert executor.context is not None
                for tracked in executor.context.ledger:
                    record = client.hgetall(f"{{hybrid:airflow}}:attempt:{tracked.attempt}")
                    lines.append(f"scheduler {job} has {tracked}; its record: {record}")
            lines += [f"unacknowledged: {text[:300]}" for text in client.hvals("unacked")]
            lines += [f"payload: {key}" for key in client.scan_iter("*payload:*", count=1000)]
        return "\n".join(lines)

    def hand_out(self) -> None:
        """Queue the next tasks, in turn with each executor."""
        executors = list(self.executors.values())
        for number, _ in enumerate(ROUND):
            executors[number % len(executors)].queue_workload(self.waiting.pop(0), session=None)
        self.beat()

    def count(self) -> int:
        """Return how many tasks have succeeded, by their rows."""
        with closing(sqlite3.connect(self.database, timeout=60)) as database:
            found = database.execute("SELECT count(*) FROM task_instance WHERE state = 'success'").fetchone()
        return int(found[0])

    def begun(self) -> Counter[int]:
        """Return how often each task has begun."""
        lines = self.marks.read_text().splitlines()
        return Counter(int(line.split()[1]) for line in lines if line.startswith("begin"))

    # ---- what happens ----

    def redis_is_empty(self) -> None:
        with redis.Redis.from_url(self.server.url) as client:
            client.flushall()

    def redis_crashes(self) -> None:
        self._meanwhile(lambda: self.server.disturb("crashed", 1))

    def redis_freezes(self) -> None:
        self._meanwhile(lambda: self.server.disturb("stopped", 2))

    def redis_is_read_only(self) -> None:
        with redis.Redis.from_url(self.server.url) as client:
            client.replicaof("127.0.0.1", "1")
            self._meanwhile(lambda: time.sleep(1))
            client.replicaof("NO", "ONE")

    def unended(self) -> set[int]:
        """Return the tasks that Airflow has as queued or running, whether they were handed out or not."""
        with closing(sqlite3.connect(self.database, timeout=60)) as database:
            rows = database.execute("SELECT map_index FROM task_instance WHERE state IN ('queued', 'running')")
            return {row[0] for row in rows}

    def are_recorded(self) -> bool:
        """Return whether each task that was handed out and has not ended has a record."""
        alive = self.unended()
        keys = [
            f"{{hybrid:airflow}}:attempt:{w.ti.external_executor_id}"
            for w in self.workloads
            if w not in self.waiting and w.ti.map_index in alive
        ]
        with redis.Redis.from_url(self.server.url) as client:
            return not keys or client.exists(*keys) == len(keys)

    def a_scheduler_dies(self) -> None:
        # What has no record yet would be given back, and Airflow would queue it once more.
        self.beat_until(self.are_recorded, what="all that was handed out is recorded")
        job = min(self.executors)
        self.executors.pop(job).terminate()
        with redis.Redis.from_url(self.server.url) as client:
            client.delete(f"{{hybrid:airflow}}:scheduler:{job}")  # it is silent for long
        self.start_executor()
        alive = self.unended()
        survivor = self.executors[min(self.executors)]
        handed_out = {key.map_index for executor in self.executors.values() for key in executor.running}
        orphans = [
            as_task_instance(w)
            for w in self.workloads
            if w not in self.waiting and w.ti.map_index in alive - handed_out
        ]
        for _ in range(2):
            assert list(survivor.try_adopt_task_instances(orphans)) == []

    def the_agent_is_replaced(self) -> None:
        self.agent.stop()
        self.beat()
        self.agent = self.start_agent()

    def the_worker_is_replaced(self) -> None:
        self._meanwhile(lambda: self.worker.end(signal.SIGTERM))
        self.worker.start()

    def the_cluster_refuses(self) -> None:
        self.sandbox.faults.fail(500, times=5)
        self.sandbox.faults.lose_reply(verb="create", times=2)

    def watches_break(self) -> None:
        self.sandbox.faults.compact()
        self.sandbox.faults.cut_watches()

    def _meanwhile(self, work: Callable[[], object]) -> None:
        """Beat while something happens."""
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            self.beat()
        thread.join()


HAPPENINGS: list[Callable[[Small], None]] = [
    Small.redis_is_empty,
    Small.redis_crashes,
    Small.redis_freezes,
    Small.redis_is_read_only,
    Small.a_scheduler_dies,
    Small.the_agent_is_replaced,
    Small.the_worker_is_replaced,
    Small.the_cluster_refuses,
    Small.watches_break,
]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[Small]:
    with ExitStack() as stack:
        yield Small(tmp_path, stack, monkeypatch, rounds=len(HAPPENINGS))


def test_whatever_happens_each_task_runs_once_and_its_end_is_told_once(small: Small) -> None:
    happenings = HAPPENINGS.copy()
    Random(SEED).shuffle(happenings)
    for happening in happenings:
        small.hand_out()
        happening(small)
        small.beat()
        if happening is Small.redis_is_empty:
            # Whose record and owner are lost at once cannot be told from what never was, and is given back.
            small.beat_until(
                lambda: small.count() >= len(small.workloads) - len(small.waiting), what="all is known again"
            )
    everyone: dict[Any, int] = dict.fromkeys(range(len(small.workloads)), 1)
    small.beat_until(lambda: small.count() >= len(everyone), what=f"all have ended with seed {SEED}")
    small.beat_until(lambda: not left_in(small.server.url), what="nothing is left")
    executors = small.executors.values()
    small.beat_until(lambda: not any(executor.running for executor in executors), what="no slot is occupied")
    assert small.begun() == everyone
    assert all(times == 1 for times in small.told.values()), small.told
    cluster = small.sandbox.cluster
    wait_until(lambda: not small.sandbox.call(lambda: cluster.select(PODS)), what="no pod is left")
