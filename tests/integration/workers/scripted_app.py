"""A worker application whose workloads do what their callback's arguments say, instead of talking to an Airflow.

Everything else is the real worker. ``celery -A scripted_app worker`` with HYBRID_TEST_REDIS set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from celery import signals  # type: ignore[import-untyped]
from setproctitle import setproctitle

from hybrid_executor.config import DictConfig
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.deployment import read_deployment
from hybrid_workers.run import Patience


def run_script(workload: Any) -> int:
    """Run the script of a callback workload in this very task process, or a task of a Dag file with Airflow."""
    script = workload.callback.data["kwargs"]
    if task := script.get("task"):
        from tests.integration.workers.parsed_worker import run, show

        result = run(*task)
        show(result)
        return int(result["code"])
    if mark := script.get("mark"):
        with Path(mark).open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    if title := script.get("title"):
        setproctitle(title)
    if forked := script.get("forks"):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        Path(forked).write_text(str(pid), encoding="ascii")
    if tree := script.get("tree"):
        _grow_tree(Path(tree))
    if seconds := script.get("sleep"):
        time.sleep(seconds)
    if waits_for := script.get("until"):
        while not Path(waits_for).exists():
            time.sleep(0.02)
    if number := script.get("signal"):
        os.kill(os.getpid(), number)
        signal.pause()
    if script.get("memory_error"):
        raise MemoryError
    if script.get("os_error"):
        raise OSError("the API server's connection is gone")
    if words := script.get("raise"):
        raise RuntimeError(words)
    if script.get("system_exit"):
        raise SystemExit(script["system_exit"])
    return int(script.get("exit", 0))


def _grow_tree(pids: Path) -> None:
    """Start what a task's process is to its supervisor, and what an operator starts in a session of its own.

    The second one ignores SIGTERM. Returns when both pids are in the file.
    """
    program = "trap '' TERM; while :; do sleep 60; done"
    task = f"import subprocess; subprocess.run(['setsid', 'sh', '-c', \"echo $$ >> {pids}; {program}\"])"
    child = subprocess.Popen([sys.executable, "-c", task])
    while not pids.exists() or not pids.read_text():
        time.sleep(0.02)
    with pids.open("a", encoding="ascii") as file:
        file.write(f"{child.pid}\n")


app = create_worker_app(
    read_deployment(
        DictConfig(
            {
                "celery": {
                    "broker_url": os.environ["HYBRID_TEST_BROKER"],
                    "extra_celery_config": os.environ.get("HYBRID_TEST_CELERY", "{}"),
                },
                "hybrid_executor": {
                    "redis_url": os.environ["HYBRID_TEST_REDIS"],
                    "worker_shutdown_timeout": os.environ.get("HYBRID_TEST_SHUTDOWN", "0"),
                    "fair_share": os.environ.get("HYBRID_TEST_SHARES", ""),
                },
                "celery_broker_transport_options": {
                    "visibility_timeout": os.environ.get("HYBRID_TEST_VISIBILITY", "86400")
                },
                "metrics": {
                    name: os.environ.get(f"AIRFLOW__METRICS__{name.upper()}", "False")
                    for name in ("statsd_on", "statsd_influxdb_enabled")
                },
            }
        )
    ),
    run=run_script,
    patience=Patience(
        claim_seconds=1.0, report_seconds=float(os.environ.get("HYBRID_TEST_REPORT", "20")), longest_pause_seconds=0.5
    ),
)


@signals.worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
def go_deaf(sender: Any, **_: Any) -> None:
    """Lose the subscription to the queues and not notice, as Celery's workers have done after a reconnect."""
    if os.environ.get("HYBRID_TEST_DEAF"):
        sender.task_consumer.cancel()
