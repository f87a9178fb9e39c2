"""What it costs that each task parses its Dag file, and what it saves to parse a file once.

Two files: one with 20 Dags of 50 tasks, and one that imports pandas and a large provider. The tasks do nothing. One Dag
of each file runs several times at once. Ours runs with ``[hybrid_executor] worker_parse_seconds``
(``BENCHMARK_PARSE_SECONDS``, 300) and without it. The worker has not seen the file before, so its first parses are in
the numbers; that Airflow has just been started is not, as another Dag runs before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from benchmarks.bench import Bench, median
from benchmarks.deployment import (
    DAGS,
    PARSE_OPTION,
    PARSE_SECONDS,
    Deployment,
    run_deployment,
    wait_for_dag,
    wait_for_tasks,
)
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS, Side

_ONCE = replace(OURS, name="hybrid, a file is parsed once", options={PARSE_OPTION: PARSE_SECONDS})
_EACH = replace(OURS, name="hybrid, each task parses", options={PARSE_OPTION: "0"})
_BEFORE = "before"
_FILES = {"many_00": "20 Dags of 50 tasks", "imports": "pandas and a provider"}
_TASKS = 50
_ROWS = (
    "SELECT state, EXTRACT(EPOCH FROM queued_dttm) AS queued, EXTRACT(EPOCH FROM end_date) AS ended "
    "FROM task_instance WHERE dag_id = '{dag}'"
)


def measure(bench: Bench, *, slots: int = 8, runs: int = 4, rounds: int = 1) -> Iterator[Row]:
    """Yield tasks per second and worker CPU a task for each file.

    :param runs: of a Dag, which all begin at once.
    :param rounds: how often the sides take turns, with a deployment each; of more than one, the medians are told.
    """
    files = dict(_FILES)
    if not (find_spec("pandas") and find_spec("airflow.providers.amazon")):
        del files["imports"]  # they are part of what make bench installs
    sides = (*bench.upstream_celery[:1], _EACH, _ONCE)
    found = bench.alternate(
        {side: partial(_run, bench, side, slots=slots, runs=runs, dags=list(files)) for side in sides}, rounds=rounds
    )
    for dag, words in files.items():
        for ours, how in ((_ONCE, ""), (_EACH, "; each task parses")):
            for name, unit in (("tasks per second", "1/s"), ("worker CPU a task", "s")):
                medians = {side: median([one[dag][name] for one in found[side]]) for side in (ours, sides[0])}
                yield Row(
                    benchmark="real_dags",
                    metric=f"{words}: {name}{how}",
                    unit=unit,
                    ours=medians[ours],
                    upstream=None if bench.only_ours else medians[sides[0]],
                    more_is_better=unit == "1/s",
                    budget=Budget(times=4) if unit == "1/s" and not how else Budget(),
                )


def _run(bench: Bench, side: Side, *, slots: int, runs: int, dags: list[str]) -> dict[str, dict[str, float]]:
    found = {}
    with run_deployment(
        side, postgres=bench.servers.postgres, slots=slots, dags=DAGS / "real", variables={}
    ) as deployment:
        wait_for_dag(deployment, _BEFORE)
        _run_to_the_end(deployment, _BEFORE, runs=1)
        for dag in dags:
            wait_for_dag(deployment, dag)
            before = deployment.cpu_seconds()["worker"]
            seconds = _run_to_the_end(deployment, dag, runs=runs)
            cpu = deployment.cpu_seconds()["worker"] - before
            tasks = runs * _TASKS
            found[dag] = {"tasks per second": tasks / seconds, "worker CPU a task": cpu / tasks}
    return found


def _run_to_the_end(deployment: Deployment, dag: str, *, runs: int) -> float:
    """Return the seconds from the first queued task to the end of the last one."""
    for _ in range(runs):
        deployment.api.trigger(dag)
    rows = wait_for_tasks(deployment, _ROWS.format(dag=dag), runs * _TASKS)
    return float(max(row["ended"] for row in rows) - min(row["queued"] for row in rows))
