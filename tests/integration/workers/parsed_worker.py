"""A worker without Redis and Celery: its main process, one slot, and tasks that the slot runs one after the other.

Started as a program, which is one worker after the other. Each is a line of JSON on its standard input:
``environment``, ``output``, ``parse_seconds``, ``most_files``, ``prepare`` (Python source that the main process
executes before it forks), and ``steps``: each a task (a list of file, Dag, task, map index and version of the bundle)
or Python source that the slot executes. The worker shows what came of each task in its output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from tests.unit.workers.test_fast_exit import RUN

asked: list[tuple[str, str]] = []


def answer(request: httpx.Request) -> httpx.Response:
    """Answer as the API server does, and note what a task tells it."""
    asked.append((request.url.path, request.content.decode()))
    if request.url.path.endswith("/run"):
        return httpx.Response(200, json=RUN)
    if "/variables/" in request.url.path:
        return httpx.Response(200, json={"key": "k", "value": "from the API server"})
    return httpx.Response(204) if request.method != "POST" else httpx.Response(201, json={"message": "ok"})


def run(file: str, dag_id: str, task_id: str, map_index: int = -1, version: str | None = None) -> dict[str, Any]:
    """Run one task to its end; return what came of it."""
    from airflow.executors.workloads import BundleInfo
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time import supervisor

    supervise: Any = getattr(supervisor, "supervise_task", None) or supervisor.supervise
    log = f"{uuid.uuid4()}.log"
    asked.clear()
    ti = TaskInstance(
        id=uuid.uuid4(),
        task_id=task_id,
        dag_id=dag_id,
        run_id="r",
        try_number=1,
        map_index=map_index,
        dag_version_id=uuid.uuid4(),
        queue="default",
    )
    begun, before = time.monotonic(), os.times()
    try:
        code = supervise(
            ti=ti,
            bundle_info=BundleInfo(name="b", version=version),
            dag_rel_path=file,
            token="only-this-task-may-see-it",
            client=Client(base_url="http://api", token="", transport=httpx.MockTransport(answer)),
            log_path=log,
        )
    except Exception as error:  # noqa: BLE001 - the test sees it
        code = f"{type(error).__name__}: {error}"
    lines = (Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]) / log).read_text().splitlines()
    return {
        "code": code,
        "seconds": time.monotonic() - begun,
        "cpu": sum(os.times()[:4]) - sum(before[:4]),
        "asked": [[path.replace(str(ti.id), "ID"), body] for path, body in asked],
        "log": [json.loads(line) for line in lines],
    }


def know(files: Any, *paths: str) -> None:
    """Ask for files as if tasks of them came, so that the next task of each is not the first one for a while."""
    from hybrid_workers.parsed.slot import Wanted

    for path in paths:
        assert files._slot.borrow(Wanted("b", None, path), [], own_group=True) is None


def slot(files: Any, steps: list[Any]) -> None:
    """Be a slot."""
    from hybrid_workers.fast_exit import end_waits_with_the_process
    from hybrid_workers.orphans import tie_workloads_to_this_process

    tie_workloads_to_this_process()
    end_waits_with_the_process()
    files.use()
    scope: dict[str, Any] = {
        "files": files,
        "know": partial(know, files),
        "run": run,
        "os": os,
        "time": time,
        "Path": Path,
        "psutil": psutil,
        "show": show,
    }
    for step in steps:
        if isinstance(step, str):
            exec(step, scope)
        else:
            show(run(*step))


def show(value: object) -> None:
    """Print a line for the test."""
    print("SHOWN " + json.dumps(value, default=str), flush=True)


def work(told: dict[str, Any]) -> None:
    """Be the worker's main process; its slot ends first."""
    import hybrid_workers.parsed.slot as slot_module
    from hybrid_workers.parsed.keep import ParsedFiles

    os.environ.update(told["environment"])
    output = os.open(told["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    ours = logging.getLogger("hybrid_workers.parsed")
    ours.addHandler(logging.StreamHandler())
    ours.setLevel(logging.DEBUG)
    ours.propagate = False
    exec(told["prepare"], {})
    files = ParsedFiles()
    files.open(
        parse_seconds=told["parse_seconds"], most_files=told["most_files"], wait_seconds=told.get("wait_seconds", 60.0)
    )
    files.explain()
    slot_module._PATIENCE_SECONDS = 70.0  # on a busy machine, too
    pid = os.fork()
    if pid == 0:
        try:
            slot(files, told["steps"])
        except BaseException:  # noqa: BLE001 - the last frame of a forked process
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


def main() -> None:
    """Import what workers do, once; then be one worker after the other, each in a process of its own."""
    from hybrid_workers.preload import preload

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Airflow logs to standard output
    preload()
    # A parse that writes byte code into its bundle is not kept, so the first one would differ from all others.
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    main()
