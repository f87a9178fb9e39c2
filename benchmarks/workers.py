"""``make bench``: trivial tasks on a worker of this executor and on one of upstream's CeleryExecutor, in turns.

Per side and number of slots: tasks per second from the first one queued to the last one ended, CPU seconds of the
worker (with all of its processes) a task, and how long after the exit of a task's process its slot was free.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.deployment import Deployment, run_deployment
from benchmarks.observer import ExitTimes, FreeTimes, cpu_seconds
from benchmarks.sides import Side, ours, upstream, version
from tests.e2e.postgres import PostgresServer

_RUN_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one run came to.

    :ivar cpu: CPU seconds a task of worker, scheduler and API server.
    :ivar free_ms: milliseconds from a task process's exit to its slot being free, median and 95th percentile.
    """

    side: str
    slots: int
    tasks: int
    tasks_per_second: float
    cpu: dict[str, float]
    free_ms: tuple[float, float]


def main(arguments: Sequence[str]) -> int:
    """Run all rounds and print a table; figures go to ``--json`` too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[4, 16], help="worker_concurrency of each round")
    parser.add_argument("--tasks-per-slot", type=int, default=10, help="how many trivial tasks a round has per slot")
    parser.add_argument("--rounds", type=int, default=1, help="how often everything is repeated")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args(arguments)
    mine, others = ours(), [upstream(keeps_results_in_broker=redis) for redis in (False, True)]
    sides = (*others, mine)
    for side in sides:
        print(f"{side.name}: Airflow {version(side, 'apache-airflow')}, Celery {version(side, 'celery')}", flush=True)
    found: list[Figures] = []
    with PostgresServer() as postgres:
        for slots in args.slots * args.rounds:
            for side in sides:
                found.append(measure(side, postgres=postgres, slots=slots, tasks=slots * args.tasks_per_slot))
                print(_line(found[-1]), flush=True)
            for figures in found[-len(sides) : -1]:
                print(_ratios(figures, found[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(figures) for figures in found], indent=1), encoding="ascii")
    return 0


def measure(side: Side, *, postgres: PostgresServer, slots: int, tasks: int) -> Figures:
    """Run ``tasks`` trivial tasks on a fresh deployment with one worker of ``slots`` slots."""
    with run_deployment(side, postgres=postgres, slots=slots, tasks=tasks) as deployment:
        pids = deployment.stack.pids
        _wait_for_dag(deployment)
        with ExitTimes(pids["worker"]) as exits, FreeTimes(deployment.broker_url) as free:
            before = {name: cpu_seconds(pids[name]) for name in ("worker", "scheduler", "api-server")}
            deployment.api.trigger("trivial")
            rows = _wait_for_tasks(deployment, tasks)
            _wait_until(lambda: len(free.by_message) >= tasks, deployment, what="every slot is free again")
            after = {name: cpu_seconds(pids[name]) for name in before}
        delays = [1000 * (free.by_message[row["attempt"]] - exits.by_pid[row["pid"]]) for row in rows]
    begun, ended = min(row["queued"] for row in rows), max(row["ended"] for row in rows)
    return Figures(
        side=side.name,
        slots=slots,
        tasks=tasks,
        tasks_per_second=tasks / (ended - begun).total_seconds(),
        cpu={name: (after[name] - before[name]) / tasks for name in before},
        free_ms=(statistics.median(delays), statistics.quantiles(delays, n=20)[-1]),
    )


def _wait_for_dag(deployment: Deployment) -> None:
    def is_known() -> bool:
        return bool(_query(deployment, "SELECT 1 FROM dag WHERE dag_id = 'trivial' AND NOT is_paused"))

    _wait_until(is_known, deployment, what="the Dag is read")
    time.sleep(5)  # for what components still do after their start


def _wait_for_tasks(deployment: Deployment, tasks: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def are_over() -> bool:
        rows[:] = _query(
            deployment,
            "SELECT state, queued_dttm AS queued, end_date AS ended, pid, external_executor_id AS attempt "
            "FROM task_instance WHERE task_id = 'nothing' AND map_index >= 0",
        )
        states = [row["state"] for row in rows]
        failed = states.count("failed")
        if failed:
            raise RuntimeError(f"{failed} tasks failed: see {deployment.logs}")
        return states.count("success") == tasks

    _wait_until(are_over, deployment, what="all tasks are over")
    return rows


def _wait_until(holds: Any, deployment: Deployment, *, what: str) -> None:
    deadline = time.monotonic() + _RUN_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_RUN_SECONDS:.0f} s: {what}; see {deployment.logs}")
        deployment.stack.advance()
        time.sleep(0.5)


def _query(deployment: Deployment, statement: str) -> list[dict[str, Any]]:
    connection = psycopg2.connect(deployment.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()


def _line(figures: Figures) -> str:
    cpu = ", ".join(f"{name} {seconds:.3f}" for name, seconds in figures.cpu.items())
    median, late = figures.free_ms
    return (
        f"{figures.side}, {figures.slots} slots, {figures.tasks} tasks: {figures.tasks_per_second:.2f} tasks/s; CPU "
        f"seconds a task: {cpu}; slot free {median:.0f} ms after the exit (95%: {late:.0f} ms)"
    )


def _ratios(theirs: Figures, mine: Figures) -> str:
    speed = mine.tasks_per_second / theirs.tasks_per_second
    cpu = mine.cpu["worker"] / theirs.cpu["worker"]
    return f"  to {theirs.side}: {speed:.2f} times the tasks per second, {cpu:.2f} of the worker's CPU a task"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
