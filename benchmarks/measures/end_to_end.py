"""A whole Airflow on PostgreSQL: trivial tasks on a worker and in pods of the sandbox, all at once.

Upstream runs its CeleryExecutor and its KubernetesExecutor side by side. CPU is that of a component with all processes
that it started; the sandbox's is that of its pods. Slot time is how long a slot was taken, by Celery's own events.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.bench import Bench, median
from benchmarks.deployment import DAGS, run_deployment, wait_for_dag, wait_for_tasks, wait_until
from benchmarks.observer import FreeTimes
from benchmarks.rows import Row
from benchmarks.sides import CELERY_AND_KUBERNETES, OURS, Side

_ROWS = (
    "SELECT task_id, state, queued_dttm AS queued, start_date AS started, end_date AS ended, "
    "external_executor_id AS attempt FROM task_instance WHERE dag_id = 'both' AND map_index >= 0"
)
_CPU = {"worker": "on_worker", "sandbox": "in_pod"}  # the others serve all tasks


def measure(
    bench: Bench, *, on_workers: int = 200, in_pods: int = 50, slots: int = 4, schedulers: Sequence[int] = (1, 2)
) -> Iterator[Row]:
    """Yield the numbers of one run per side and number of schedulers."""
    others = [] if bench.only_ours else [CELERY_AND_KUBERNETES]
    for count in schedulers:
        run = partial(_run, bench, on_workers=on_workers, in_pods=in_pods, slots=slots, schedulers=count)
        found = bench.alternate({side: partial(run, side) for side in (*others, OURS)}, rounds=1)
        for side, [numbers] in found.items():
            bench.series[f"end_to_end, {count} schedulers, queued to running (s): {side.name}"] = numbers.pop("waited")
        for (name, unit), value in found[OURS][0].items():
            yield Row(
                benchmark="end_to_end",
                metric=f"{count} scheduler{'s' if count > 1 else ''}: {name}",
                unit=unit,
                ours=value,
                upstream=found[others[0]][0].get((name, unit)) if others else None,
                more_is_better=unit == "1/s",
            )


def _run(bench: Bench, side: Side, *, on_workers: int, in_pods: int, slots: int, schedulers: int) -> dict[Any, Any]:
    with run_deployment(
        side,
        postgres=bench.servers.postgres,
        slots=slots,
        dags=DAGS / "both",
        variables={"BENCHMARK_ON_WORKERS": str(on_workers), "BENCHMARK_IN_PODS": str(in_pods)},
        schedulers=schedulers,
        has_pods=True,
    ) as deployment:
        wait_for_dag(deployment, "both")
        with FreeTimes(deployment.broker_url) as free:
            before = deployment.cpu_seconds()
            deployment.api.trigger("both")
            rows = wait_for_tasks(deployment, _ROWS, on_workers + in_pods)
            wait_until(lambda: len(free.by_message) >= on_workers, deployment, what="every slot is free again")
            used = {name: seconds - before[name] for name, seconds in deployment.cpu_seconds().items()}
    seconds = (max(row["ended"] for row in rows) - min(row["queued"] for row in rows)).total_seconds()
    numbers: dict[Any, Any] = {("tasks per second", "1/s"): len(rows) / seconds}
    numbers["waited"] = {}
    for task_id, words in (("on_worker", "on workers"), ("in_pod", "in pods")):
        waited = [(row["started"] - row["queued"]).total_seconds() for row in rows if row["task_id"] == task_id]
        numbers["waited"][words] = sorted(waited)
        numbers[f"{words}: queued to running, p50", "s"] = median(waited)
        numbers[f"{words}: queued to running, p99", "s"] = statistics.quantiles(waited, n=100)[-1]
    for name, spent in used.items():
        count = sum(row["task_id"] == _CPU.get(name, row["task_id"]) for row in rows)
        numbers[f"{'pods' if name == 'sandbox' else name}: CPU a task", "s"] = spent / count
    on_slots = [row for row in rows if row["task_id"] == "on_worker"]
    slot_time = sum(free.by_message[row["attempt"]] - free.taken[row["attempt"]] for row in on_slots)
    task_time = sum((row["ended"] - row["started"]).total_seconds() for row in on_slots)
    numbers["slot time by task time", "times"] = slot_time / task_time
    return numbers
