"""Trivial tasks on a whole Airflow with one worker: tasks per second, CPU, and how soon a slot is free again.

Tasks per second are counted from the first one queued to the last one ended; CPU is that of a component with all of its
processes. A slot is free when the worker's main process says so in Celery's own events.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.bench import Bench, each_or_none, median
from benchmarks.deployment import DAGS, run_deployment, wait_for_dag, wait_for_tasks, wait_until
from benchmarks.observer import ExitTimes, FreeTimes, cpu_seconds
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS, Side

_COMPONENTS = ("worker", "scheduler", "api-server")
_ROWS = (
    "SELECT state, queued_dttm AS queued, start_date AS started, end_date AS ended, pid, "
    "external_executor_id AS attempt FROM task_instance WHERE task_id = 'nothing' AND map_index >= 0"
)


def measure(bench: Bench, *, slots: Sequence[int] = (4, 16), tasks_per_slot: int = 10) -> Iterator[Row]:
    """Yield the numbers of one run per side and number of slots."""
    for count in slots:
        tasks = count * tasks_per_slot
        sides = (*bench.upstream_celery, OURS)
        found = bench.alternate(
            {side: partial(_run, bench, side, slots=count, tasks=tasks) for side in sides}, rounds=1
        )
        for other in each_or_none(bench.upstream_celery):
            beside = "; results: Redis" if other in bench.upstream_celery[1:] else ""
            for name, unit in found[OURS][0]["units"].items():
                yield Row(
                    benchmark="worker",
                    metric=f"{count} slots, {tasks} tasks: {name}{beside}",
                    unit=unit,
                    ours=found[OURS][0][name],
                    upstream=found[other][0][name] if other else None,
                    more_is_better=unit == "1/s",
                    budget=Budget(times=1.43) if name == "worker CPU a task" and not beside else Budget(),
                )


def _run(bench: Bench, side: Side, *, slots: int, tasks: int) -> dict[str, Any]:
    """Run ``tasks`` trivial tasks on a fresh deployment with one worker of ``slots`` slots."""
    with run_deployment(
        side,
        postgres=bench.servers.postgres,
        slots=slots,
        dags=DAGS / "trivial",
        variables={"BENCHMARK_TASKS": str(tasks)},
    ) as deployment:
        pids = deployment.stack.pids
        wait_for_dag(deployment, "trivial")
        with ExitTimes(pids["worker"]) as exits, FreeTimes(deployment.broker_url) as free:
            before = {name: cpu_seconds(pids[name]) for name in _COMPONENTS}
            deployment.api.trigger("trivial")
            rows = wait_for_tasks(deployment, _ROWS, tasks)
            wait_until(lambda: len(free.by_message) >= tasks, deployment, what="every slot is free again")
            cpu = {name: (cpu_seconds(pids[name]) - before[name]) / tasks for name in _COMPONENTS}
        # A process that ended between two looks was not seen.
        seen = [row for row in rows if row["pid"] in exits.by_pid]
        free_ms = [1000 * (free.by_message[row["attempt"]] - exits.by_pid[row["pid"]]) for row in seen]
    seconds = (max(row["ended"] for row in rows) - min(row["queued"] for row in rows)).total_seconds()
    waited = [(row["started"] - row["queued"]).total_seconds() for row in rows]
    numbers = {
        ("tasks per second", "1/s"): tasks / seconds,
        ("queued to running, p50", "s"): median(waited),
        ("queued to running, p99", "s"): statistics.quantiles(waited, n=100)[-1],
        ("worker CPU a task", "s"): cpu["worker"],
        ("scheduler CPU a task", "s"): cpu["scheduler"],
        ("API server CPU a task", "s"): cpu["api-server"],
        ("slot free after exit, p50", "ms"): median(free_ms),
        ("slot free after exit, p95", "ms"): statistics.quantiles(free_ms, n=20)[-1],
    }
    return {"units": dict(numbers.keys()), **{name: value for (name, _), value in numbers.items()}}
