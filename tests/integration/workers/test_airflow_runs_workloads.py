"""What a worker hands to Airflow runs there, whichever release of Airflow it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.test_fast_exit import RUN
from tests.waiting import PATIENCE_SECONDS

_DAG = """
import os, pathlib, subprocess
from airflow.sdk import DAG, task

with DAG("d", schedule=None):
    @task
    def t():
        pathlib.Path(os.environ["SEEN"]).write_text("task")
    t()
    @task
    def slow():
        shell = subprocess.Popen(["setsid", "sleep", "100"])
        pathlib.Path(os.environ["SEEN"]).write_text(f"{os.getpid()} {shell.pid}")
        shell.wait()
    slow()
"""
_CALLBACKS = """
import os, pathlib

def note(words):
    pathlib.Path(os.environ["SEEN"]).write_text(words)

def fail():
    raise ValueError("this callback is broken")
"""
_WORKER = """
import json, sys
import fakeredis
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store
from hybrid_workers.run import Delivery, WorkloadRuns
from hybrid_workers.workload import run_with_airflow
from tests.waiting import PATIENCE_SECONDS

store = Store(fakeredis.FakeRedis(decode_responses=True), instance="test")
runs = WorkloadRuns(lambda: store, instance="test", run=run_with_airflow)
runs.handle(Delivery(attempt=AttemptId("attempt"), payload=sys.argv[1], worker="celery@here"))
[record] = store.attempts.records([AttemptId("attempt")])
print("STATE " + record.state.value)
"""


_INTERRUPTED_WORKER = """
import os, pathlib, signal, threading, time, traceback

def fail(_, frame):
    if any(one.f_code.co_name == "_send_heartbeat_if_needed" for one, _ in traceback.walk_stack(frame)):
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # a heartbeat that fails is only sent again
        return
    raise OSError("broken while the task ran")

def interrupt():
    while not (seen.exists() and seen.read_text()):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGALRM)

seen = pathlib.Path(os.environ["SEEN"])
signal.signal(signal.SIGALRM, fail)
threading.Thread(target=interrupt, daemon=True).start()
"""
_WHAT_RUNS = """
from tests.processes import is_alive
print("REASON " + record.reason)
print("ALIVE " + str([pid for pid in map(int, seen.read_text().split()) if is_alive(pid)]))
"""


class ApiServer(ThreadingHTTPServer):
    """Airflow's API server, as far as one short task asks it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str]] = []


class _Answers(BaseHTTPRequestHandler):
    server: ApiServer

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        body = json.dumps(RUN).encode() if self.path.endswith("/run") else b""
        self.send_response(200 if body else 204)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PATCH = do_PUT = answer  # noqa: N815 - the names are those of the base class

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Worker:
    """Runs one workload in a process of its own, with a Dag bundle in ``folder``."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        folder.joinpath("dag.py").write_text(_DAG)
        folder.joinpath("our_callbacks.py").write_text(_CALLBACKS)
        self._seen = folder / "seen"
        bundle = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": str(folder)}}
        self._environment = {
            **os.environ,
            "SEEN": str(self._seen),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([{"name": "b", **bundle}]),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{server.server_port}",
        }

    @property
    def seen(self) -> str:
        """What the workload wrote."""
        return self._seen.read_text() if self._seen.exists() else ""

    def run(self, program: str = _WORKER, **workload: Any) -> tuple[str, str]:
        """Return the state that the workload's record ends in, and all that the worker wrote."""
        common = {"token": "secret-token", "dag_rel_path": "dag.py", "bundle_info": {"name": "b"}, "log_path": None}
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(common | workload)],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        states = [line.removeprefix("STATE ") for line in done.stdout.splitlines() if line.startswith("STATE ")]
        assert len(states) == 1, done.stdout
        return states[0], done.stdout

    def run_callback(self, path: str, **arguments: Any) -> tuple[str, str]:
        """The same with a callback."""
        data = {"path": path, "kwargs": arguments}
        callback = {"id": str(uuid.uuid4()), "fetch_method": "import_path", "data": data}
        return self.run(type="ExecuteCallback", callback=callback)


@pytest.fixture
def worker(tmp_path: Path, api_server: ApiServer) -> Worker:
    return Worker(tmp_path, api_server)


def test_a_task_runs_and_tells_the_configured_api_server(worker: Worker, api_server: ApiServer) -> None:
    task_id = str(uuid.uuid4())
    ti = {"id": task_id, "dag_version_id": str(uuid.uuid4()), "dag_id": "d", "task_id": "t", "run_id": "r"}
    rest = {"try_number": 1, "map_index": -1, "pool_slots": 1, "queue": "default", "priority_weight": 1}
    state, output = worker.run(type="ExecuteTask", ti=ti | rest)
    assert (state, worker.seen) == ("succeeded", "task"), output
    assert api_server.asked[0] == (f"/execution/task-instances/{task_id}/run", "Bearer secret-token")
    assert api_server.asked[-1][0] == f"/execution/task-instances/{task_id}/state"


def test_a_task_does_not_run_on_when_its_supervisor_broke(worker: Worker) -> None:
    ti = {"id": str(uuid.uuid4()), "dag_version_id": str(uuid.uuid4()), "dag_id": "d", "task_id": "slow", "run_id": "r"}
    rest = {"try_number": 1, "map_index": -1, "pool_slots": 1, "queue": "default", "priority_weight": 1}
    program = _INTERRUPTED_WORKER + _WORKER + _WHAT_RUNS
    state, output = worker.run(program, type="ExecuteTask", ti=ti | rest)
    assert state == "failed", output
    assert "REASON The worker could not run it: OSError: broken while the task ran" in output
    assert "ALIVE []" in output


def test_a_callback_runs_with_its_arguments(worker: Worker) -> None:
    state, output = worker.run_callback("our_callbacks.note", words="late")
    assert (state, worker.seen) == ("succeeded", "late"), output


def test_a_callback_that_raises_fails_and_says_why(worker: Worker) -> None:
    state, output = worker.run_callback("our_callbacks.fail")
    assert state == "failed"
    assert "ValueError: this callback is broken" in output
