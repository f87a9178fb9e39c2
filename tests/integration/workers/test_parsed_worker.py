"""A real worker whose tasks are forked from processes with their parsed Dag file: it leaves, and it is killed."""

from __future__ import annotations

import json
import os
import py_compile
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from tests.integration.workers.conftest import StartWorker
from tests.integration.workers.near_side import Scheduler, WorkerProcess
from tests.integration.workers.test_parsed_files import alive, pytestmark  # noqa: F401 - it applies here too
from tests.waiting import wait_until

QUEUE = "parsed"
_DAG = """
import os, subprocess, time
from pathlib import Path
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator

class Long(BaseOperator):
    def execute(self, context):
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True, **quiet)
        Path(os.environ["SEEN"]).write_text(f"{os.getpid()} {os.getppid()} {child.pid}")
        self.is_killed = False
        while not Path(os.environ["SEEN"] + ".gate").exists() and not self.is_killed:
            time.sleep(0.02)
        child.kill()
        child.wait()
        assert not self.is_killed

    def on_kill(self):
        Path(os.environ["SEEN"] + ".killed").touch()
        self.is_killed = True

with DAG("long", schedule=None):
    Long(task_id="t")
    EmptyOperator(task_id="nothing")
"""


class Running:
    """A task that runs on a worker, with all processes that have to do with it."""

    def __init__(self, scheduler: Scheduler, worker: WorkerProcess, seen: Path) -> None:
        seen.unlink(missing_ok=True)
        [known] = scheduler.submit(scheduler.work(queue=QUEUE, task=["long.py", "long", "nothing"]))
        scheduler.wait_for(known, State.SUCCEEDED)
        work = scheduler.work(queue=QUEUE, task=["long.py", "long", "t"])
        [self.attempt] = scheduler.submit(work)
        wait_until(
            lambda: seen.exists() and len(seen.read_text().split()) == 3, what=lambda: f"it runs: {worker.output}"
        )
        self.task, self.parent, self.child = map(int, seen.read_text().split())
        assert "parsed long.py" in " ".join(psutil.Process(self.parent).cmdline())
        self.nursery = psutil.Process(self.parent).ppid()
        assert psutil.Process(self.nursery).ppid() == worker.process.pid

    def wait_until_gone(self, *others: int) -> None:
        """Wait until nothing of it runs any more."""
        pids = (self.task, self.child, *others)
        wait_until(lambda: not alive(*pids), what=lambda: f"nothing is left of {pids}: {alive(*pids)}")


@pytest.fixture
def begin(
    fresh_scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[WorkerProcess], Running]:
    """Return a function that begins a task on a worker; a worker that is started after this parses files once."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "long.py").write_text(_DAG)
    py_compile.compile(str(dags / "long.py"))  # else the first parse keeps its byte code there, and is not used again
    bundle = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": str(dags)}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([{"name": "b", **bundle}]))
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return lambda worker: Running(fresh_scheduler, worker, tmp_path / "seen")


Begin = Callable[[WorkerProcess], Running]


def test_a_worker_that_is_told_to_leave_waits_for_its_task(
    begin: Begin, fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE)
    running = begin(worker)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: fresh_scheduler.worker_fields(worker.name).get("state") == "draining", what="it waits")
    assert alive(running.task, running.child) == [running.task, running.child]
    (tmp_path / "seen.gate").touch()
    assert worker.wait() == 0
    assert fresh_scheduler.record(running.attempt).state is State.SUCCEEDED
    running.wait_until_gone(running.parent, running.nursery)


def test_what_is_killed_ends_its_task_alone_and_the_worker_goes_on_until_it_is_told_twice_to_leave(
    begin: Begin, fresh_scheduler: Scheduler, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(queues=QUEUE)
    running = begin(worker)
    os.kill(running.parent, signal.SIGKILL)
    assert _failed(fresh_scheduler, running.attempt) == ("signal", "-9")
    running.wait_until_gone()

    running = begin(worker)
    [slot] = _slots(worker, running)
    os.kill(slot, signal.SIGKILL)
    assert _failed(fresh_scheduler, running.attempt) == ("signal", "-9")
    running.wait_until_gone()
    assert alive(running.parent) == [running.parent]

    last = begin(worker)
    assert last.parent == running.parent
    worker.signal(signal.SIGTERM)
    wait_until(lambda: fresh_scheduler.worker_fields(worker.name).get("state") == "draining", what="it waits")
    assert not (tmp_path / "seen.killed").exists()
    worker.signal(signal.SIGTERM)
    worker.wait()
    assert (tmp_path / "seen.killed").exists()
    # It has ended: what it has not reported by now, it never will.
    record = fresh_scheduler.record(last.attempt)
    assert (record.state, record.category) == (State.FAILED, "worker_stopped"), worker.output
    last.wait_until_gone(last.parent, last.nursery)
    told = [json.loads(line[6:]) for line in worker.output.splitlines() if line.startswith("SHOWN ")]
    assert [_states(result) for result in told[:2]] == [["success"], ["failed"]]


@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_nothing_outlives_a_worker_that_is_killed(
    begin: Begin, start_worker: StartWorker, kill: Callable[[int, int], None]
) -> None:
    worker = start_worker(queues=QUEUE)
    running = begin(worker)
    slots = _slots(worker, running)
    kill(worker.process.pid, signal.SIGKILL)
    worker.wait()
    running.wait_until_gone(running.parent, running.nursery, *slots)


def _slots(worker: WorkerProcess, running: Running) -> list[int]:
    children = psutil.Process(worker.process.pid).children()
    return [child.pid for child in children if child.pid != running.nursery]


def _failed(scheduler: Scheduler, attempt: AttemptId) -> tuple[str, str]:
    record = scheduler.wait_for(attempt, State.FAILED)
    return record.category, record.exit_code


def _states(result: Any) -> list[str]:
    return [json.loads(body)["state"] for path, body in result["asked"] if path.endswith("/state")]
