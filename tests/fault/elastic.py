"""What the course of elastic routes is made of: schedulers, workers, spot pods, and a watch over the limits."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import redis

from hybrid_executor.executor import HybridExecutor
from hybrid_executor.sandbox.objects import PODS
from tests.fault.churn import ChurnedWorker, Server
from tests.fault.churn_near_side import make_rows
from tests.fault.in_process import start_agent, start_executor
from tests.faulty_sandbox import FaultySandbox
from tests.integration.agent.conftest import RunningAgent
from tests.integration.conftest import as_task_instance, make_task, set_options

QUEUE = "churned"
LIMITS = {"celery": 16, "kubernetes:spot": 6, "kubernetes": 6}
ROUTE = f"{QUEUE} = celery(max=16, wait=3s, served) > kubernetes:spot(max=6, tries=2) > kubernetes(max=6)"
_PREFIX = "{hybrid:airflow}:"
_PROGRAM = """
import json, os, sqlite3, sys, time
ti = json.loads(sys.argv[-1])["ti"]
index, number = ti["map_index"], ti["try_number"]
def note(what):
    marks = os.open({marks!r}, os.O_WRONLY | os.O_APPEND)
    os.write(marks, f"{{what}} {{index}} {{number}} {{time.time():.3f}}\\n".encode())
database = sqlite3.connect({database!r}, timeout=60, isolation_level=None)
database.execute("PRAGMA synchronous = OFF")
start = "UPDATE task_instance SET state = 'running', last_heartbeat_at = datetime('now') WHERE map_index = ? "
if not database.execute(start + "AND try_number = ? AND state = 'queued'", (index, number)).rowcount:
    note("refused")
    sys.exit("Airflow lets no task start twice")
note("begin")
time.sleep({seconds})
end = "UPDATE task_instance SET state = 'success' WHERE map_index = ? AND try_number = ? AND state = 'running'"
if database.execute(end, (index, number)).rowcount:
    note("end")
"""
_COUNT = """
local found = {}
for i, name in ipairs(ARGV) do
  found[i] = {redis.call('ZCARD', KEYS[1] .. 'place:' .. name), 0}
end
for _, pool in ipairs({'celery', 'kubernetes'}) do
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'live:' .. pool)) do
    local known = redis.call('HMGET', KEYS[1] .. 'attempt:' .. id, 'state', 'route', 'target')
    for i, name in ipairs(ARGV) do
      local is_live = known[1] and known[1] ~= 'succeeded' and known[1] ~= 'failed' and known[1] ~= 'revoked'
      if is_live and known[2] .. '>' .. known[3] == name then
        found[i][2] = found[i][2] + 1
      end
    end
  end
end
return found
"""


@dataclass
class Watch:
    """Counts in one step, many times a second, how many attempts each target has: by its place, and by the records.

    :ivar most: the highest counts of each target. :ivar looks: how often it has counted.
    """

    url: str
    most: dict[str, tuple[int, int]] = field(default_factory=dict)
    looks: int = 0

    def count(self, client: redis.Redis) -> dict[str, tuple[int, int]]:
        """Return how many attempts each target has now, by its place and by the records."""
        names = [f"{QUEUE}>{target}" for target in LIMITS]
        answers: Any = client.eval(_COUNT, 1, _PREFIX, *names)
        return {target: (int(one[0]), int(one[1])) for target, one in zip(LIMITS, answers, strict=True)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count until the context ends."""
        stop = threading.Event()

        def watch() -> None:
            with redis.Redis.from_url(self.url) as client:
                while not stop.wait(0.05):
                    for target, (placed, live) in self.count(client).items():
                        before = self.most.get(target, (0, 0))
                        self.most[target] = (max(before[0], placed), max(before[1], live))
                    self.looks += 1

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class ElasticWorker(ChurnedWorker):
    """A worker with eight slots that is stopped and started again."""

    app = "tests.fault.elastic_app"


class ElasticCourse:
    """Three schedulers, an agent, two workers with eight slots each, and a cluster whose spot pods are evicted.

    :ivar ends: how often Airflow was told the end of each try, by task and try.
    """

    def __init__(
        self, home: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, *, tasks: int, seconds: float, seed: int
    ) -> None:
        self.random = Random(seed)
        self.seconds = seconds
        self.marks = home / "marks"
        self.marks.touch()
        self.workloads, self.database = make_rows(tasks, queue_of=lambda _: QUEUE)
        self.waiting = list(self.workloads)
        self.ends: Counter[tuple[int, int, str]] = Counter()
        self.evicted = self.killed = self.given_back = 0
        self.up_seconds = 0.0
        self._up_since = 0.0
        self.server = Server(home / "valkey")
        stack.callback(self.server.stop)
        self.sandbox = FaultySandbox(namespaces=("default", "spot")).start()
        stack.callback(self.sandbox.stop, grace_seconds=0.2)
        self.sandbox.write_kubeconfig(home / "kubeconfig")
        self._set_options(home, monkeypatch)
        self.executors: dict[int, HybridExecutor] = {}
        self._jobs = iter(range(1, 1000))
        for _ in range(3):
            self.start_executor()
        stack.callback(lambda: [executor.terminate() for executor in self.executors.values()])
        environment = {name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW__")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment |= {"AIRFLOW_HOME": str(home), "ELASTIC_REDIS": self.server.url}
        environment |= {"ELASTIC_PROGRAM": str(home / "task.py")}
        self.workers = [ElasticWorker(f"worker{n}@elastic", home, environment, concurrency=8) for n in range(2)]
        for worker in self.workers:
            stack.callback(worker.kill)
        self.agent = self._start_agent()
        stack.callback(lambda: self.agent.stop())
        self.watch = Watch(self.server.url)

    def _set_options(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = _PROGRAM.format(marks=str(self.marks), database=self.database, seconds=self.seconds)
        (home / "task.py").write_text(program)
        (home / "profiles.yaml").write_text("spot:\n  namespace: spot\n")
        command = f'["{sys.executable}", "-S", "{home / "task.py"}"]'
        template = "apiVersion: v1\nkind: Pod\nspec:\n  restartPolicy: Never\n  containers:\n"
        (home / "pod.yaml").write_text(f"{template}  - name: base\n    image: task:1\n    command: {command}\n")
        set_options(
            monkeypatch,
            core__parallelism="64",
            celery__broker_url=self.server.url,
            hybrid_executor__redis_url=self.server.url,
            hybrid_executor__routes=f"{ROUTE}\n* = celery",
            hybrid_executor__profiles_file=str(home / "profiles.yaml"),
            hybrid_executor__agent="external",
            hybrid_executor__agent_lease="2",
            hybrid_executor__repair_interval="1",
            hybrid_executor__worker_lost_after="5",
            kubernetes_executor__in_cluster="False",
            kubernetes_executor__config_file=str(home / "kubeconfig"),
            kubernetes_executor__pod_template_file=str(home / "pod.yaml"),
            kubernetes_executor__delete_worker_pods_on_failure="True",
        )

    # ---- parts ----

    def start_executor(self) -> None:
        """Start the executor of a new scheduler."""
        job = next(self._jobs)
        self.executors[job] = start_executor(job, parallelism=64)

    def _start_agent(self) -> RunningAgent:
        return start_agent(f"agent-{uuid4().hex[:6]}")

    def start_workers(self) -> None:
        """Start both workers, and wait until they take messages."""
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.wait_until_ready()
        self._up_since = time.monotonic()

    def scale_up(self) -> None:
        """Start both workers again while the rest goes on."""
        self._meanwhile(self.start_workers)

    def up_until(self, moment: float) -> float:
        """Return for how many seconds the workers were up until then."""
        return self.up_seconds + (moment - self._up_since if self._up_since else 0.0)

    def scale_to_zero(self) -> None:
        """Stop both workers in good order."""
        self.up_seconds += time.monotonic() - self._up_since
        self._up_since = 0.0
        self._meanwhile(lambda: [worker.end(signal.SIGTERM) for worker in self.workers])

    def replace_agent(self) -> None:
        """Stop the agent, and start another one."""
        self.agent.stop()
        self.agent = self._start_agent()

    def kill_scheduler(self) -> None:
        """Let a scheduler die, start another one, and let a third one adopt what it had."""
        job = self.random.choice(sorted(self.executors))
        self.executors.pop(job).terminate()
        self.start_executor()
        self.killed += 1
        known = {key.map_index for executor in self.executors.values() for key in executor.running}
        known |= {w.ti.map_index for executor in self.executors.values() for w in _queued(executor)}
        known |= {workload.ti.map_index for workload in self.waiting}
        unended = self.states("queued", "running")
        orphans = [w for w in self.workloads if w.ti.map_index in unended - known]
        survivor = self.executors[min(self.executors)]
        refused = survivor.try_adopt_task_instances([as_task_instance(w) for w in orphans])
        for ti in refused:
            self.given_back += 1
            self._queue_again(ti.map_index, next_try=False)

    def evict_one(self) -> None:
        """Evict one of the spot pods that run, as a cloud does."""

        def running() -> list[str]:
            pods = self.sandbox.cluster.select(PODS)
            return [
                pod["metadata"]["name"]
                for pod in pods
                if pod["metadata"]["namespace"] == "spot" and pod.get("status", {}).get("phase") == "Running"
            ]

        names = self.sandbox.call(running)
        if names:
            self.evicted += 1
            self.sandbox.faults.evict(
                self.random.choice(names), message="The spot node is taken back.", namespace="spot"
            )

    # ---- what Airflow does ----

    def beat(self) -> None:
        """Do what the schedulers do in each of their loops."""
        for executor in self.executors.values():
            for _ in range(min(executor.slots_available, len(self.waiting))):
                executor.queue_workload(self.waiting.pop(0), session=None)
            executor.heartbeat()
            for key, (state, _) in executor.get_event_buffer().items():
                if state.value not in ("success", "failed"):
                    continue
                self.ends[key.map_index, key.try_number, state.value] += 1
                if state.value == "failed" and key.map_index in self.states("queued", "running"):
                    self._queue_again(key.map_index, next_try=True)
        time.sleep(0.1)

    def _queue_again(self, index: int, *, next_try: bool) -> None:
        old = self.workloads[index]
        number = old.ti.try_number + next_try
        fresh = make_task(map_index=index, queue=QUEUE, id=old.ti.id, try_number=number)
        self._execute(
            "UPDATE task_instance SET state = 'queued', try_number = ?, external_executor_id = ? WHERE map_index = ?",
            (number, fresh.ti.external_executor_id, index),
        )
        self.workloads[index] = fresh
        self.waiting.append(fresh)

    def _meanwhile(self, work: Callable[[], object]) -> None:
        """Beat while something happens."""
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            self.beat()
        thread.join()

    # ---- what is seen ----

    def states(self, *states: str) -> set[int]:
        """Return the tasks that Airflow has in one of these states."""
        marks = ",".join("?" * len(states))
        with closing(sqlite3.connect(self.database, timeout=60)) as database:
            rows = database.execute(f"SELECT map_index FROM task_instance WHERE state IN ({marks})", states)
            return {row[0] for row in rows}

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.database, timeout=60, isolation_level=None)) as database:
            database.execute(statement, values)

    def marked(self, what: str) -> list[tuple[int, int, float]]:
        """Return task, try and time of each mark of a kind."""
        lines = [line.split() for line in self.marks.read_text().splitlines()]
        return [(int(line[1]), int(line[2]), float(line[3])) for line in lines if line[0] == what]


def _queued(executor: HybridExecutor) -> list[Any]:
    from hybrid_executor import compat

    return [workload for _, workload in compat.queued_workloads(executor)]
