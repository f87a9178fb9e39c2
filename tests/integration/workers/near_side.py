"""Real Celery workers in processes of their own, and a near side that hands them work as a scheduler does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.celery import CeleryPool
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Store, open_store
from tests.integration.workers.started_by_fork import ForkedProgram
from tests.store_view import queue_length
from tests.waiting import PATIENCE_SECONDS, wait_until

INSTANCE = "airflow"


def runs(mark: Path) -> list[int]:
    """Return the pids of the task processes that have run a script with this mark."""
    return [int(pid) for pid in mark.read_text().split()] if mark.exists() else []


class Scheduler:
    """The near side, as small as can be."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self.store: Store = open_store(RedisSettings(url=redis_url), instance=INSTANCE)
        self.pool = CeleryPool(instance=INSTANCE)

    def work(self, *, queue: str = "default", text: str | None = None, **script: Any) -> Work:
        """Return work whose script a scripted worker runs."""
        attempt = AttemptId(str(uuid4()))
        return Work(
            attempt=attempt,
            owner=OwnerId("1"),
            kind="callback",
            workload_id=str(attempt),
            queue=queue,
            payload=callback_json(str(attempt), script) if text is None else text,
        )

    def submit(self, *works: Work) -> list[AttemptId]:
        """Submit in one batch."""
        assert all(self.store.attempts.submit([self.pool.prepare(work) for work in works]))
        return [work.attempt for work in works]

    def record(self, attempt: AttemptId) -> Record:
        """Return an attempt's record."""
        record = self.store.attempts.records([attempt])[0]
        assert record is not None
        return record

    def wait_for(self, attempt: AttemptId, state: State, *, seconds: float = 20.0) -> Record:
        """Return the record once it is in ``state``."""
        wait_until(lambda: self.record(attempt).state is state, seconds=seconds, what=f"{attempt} is {state.value}")
        return self.record(attempt)

    def push(self, message: str, *, queue: str = "default") -> None:
        """Put a message on a queue's list, whatever it is."""
        with redis.Redis.from_url(self._url) as client:
            client.lpush(self.pool.queue_key(queue), message)

    def messages(self, queue: str = "default") -> int:
        """Return how many messages wait on a queue."""
        return queue_length(self.store, self.pool.queue_key(queue))

    def unacknowledged(self) -> int:
        """Return how many messages workers hold."""
        with redis.Redis.from_url(self._url) as client:
            return int(client.hlen("unacked"))

    def wait_until_acknowledged(self) -> None:
        """Wait until no message waits and no worker holds one."""
        wait_until(lambda: not self.messages() and not self.unacknowledged(), what="every message is acknowledged")

    def worker_fields(self, name: str) -> dict[str, str]:
        """Return what a worker announces, empty when it does not."""
        return next((dict(m.fields) for m in self.store.presence.members("worker") if m.name == name), {})

    def running_on(self, worker: WorkerProcess) -> str:
        """Return what a worker says that it runs."""
        return self.worker_fields(worker.name).get("running", "")


def callback_json(key: str, script: dict[str, Any]) -> str:
    """Return a callback workload whose arguments are ``script``."""
    return json.dumps(
        {
            "type": "ExecuteCallback",
            "token": "a-token-that-nobody-may-see",
            "dag_rel_path": "dag.py",
            "bundle_info": {"name": "dags", "version": None},
            "log_path": None,
            "callback": {
                "id": key,
                "fetch_method": "import_path",
                "data": {"path": "scripted.run", "kwargs": script},
            },
        }
    )


class WorkerProcess:
    """One ``celery worker`` with its main process and task processes."""

    def __init__(self, process: ForkedProgram, name: str, log: Path) -> None:
        self.process = process
        self.name = name
        self._log = log

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until it has ended; return its exit code."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it at once, and its task processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_worker_process(
    redis_url: str,
    name: str,
    directory: Path,
    *,
    concurrency: int = 1,
    queues: str = "default",
    visibility_seconds: int = 86400,
    shutdown_seconds: float = 0,
    is_deaf: bool = False,
    broker_url: str = "",
    shares: str = "",
    arguments: Sequence[str] = (),
    log_level: str = "INFO",
    **celery: Any,
) -> WorkerProcess:
    """Start a worker that runs scripts; ``celery`` holds further Celery settings, ``arguments`` further flags."""
    log = directory / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "HYBRID_TEST_REDIS": redis_url,
        "HYBRID_TEST_BROKER": broker_url or redis_url,
        "HYBRID_TEST_CELERY": json.dumps(celery),
        "HYBRID_TEST_VISIBILITY": str(visibility_seconds),
        "HYBRID_TEST_SHARES": shares,
        "HYBRID_TEST_SHUTDOWN": str(shutdown_seconds),
        "HYBRID_TEST_DEAF": "yes" if is_deaf else "",
        "AIRFLOW_HOME": str(directory),
    }
    command = ["-A", "tests.integration.workers.scripted_app", "worker"]
    command += ["-n", name, "-Q", queues, "-c", str(concurrency), "-O", "fair"]
    command += ["--without-mingle", "--without-gossip", "-l", log_level, *arguments]
    log.write_bytes(b"")
    return WorkerProcess(ForkedProgram("celery", command, environment=environment, output=log), name, log)
