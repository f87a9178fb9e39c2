"""Tasks one after the other on a whole Airflow with PostgreSQL, one scheduler and one worker.

The shape is that of a public comparison (https://www.windmill.dev/docs/misc/benchmarks/competitors): one run of 40
tasks that compute ``fibo(10)``, and one of 10 that compute ``fibo(33)``. Ours waits for events in place of Airflow's
idle sleep, as standalone does; upstream sleeps as long as Airflow does by default. Both are measured from the start to
the end of the run, as the database has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench
from benchmarks.deployment import DAGS, Deployment, query, run_deployment, wait_for_dag, wait_until
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS, Side

PUBLISHED = "published there (other machines, Python): %s"
_LIGHT_PUBLISHED = "40 x fibo(10): Airflow 2.7.3 116 s, others 2 to 15 s"
_HEAVY_PUBLISHED = "10 x fibo(33): Airflow 2.7.3 54.7 s, Kestra 15.8 s, Prefect 15.5 s, Windmill 8.3 s, Temporal 7.2 s"
_RUN = "SELECT state, EXTRACT(EPOCH FROM end_date - start_date) AS seconds FROM dag_run WHERE dag_id = '{dag}'"
_TASKS = (
    "SELECT EXTRACT(EPOCH FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY start_date - queued_dttm)) AS to_running, "
    "EXTRACT(EPOCH FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY end_date - start_date)) AS running "
    "FROM task_instance WHERE dag_id = '{dag}'"
)
_NAMES = {"run": "whole run", "to_running": "queued to running, p50", "running": "running, p50"}


def measure(bench: Bench, *, light: int = 40, heavy: int = 10) -> Iterator[Row]:
    """Yield the seconds of both runs, and where a step spends them."""
    others = bench.upstream_celery[:1]
    found = bench.alternate(
        {side: partial(_run, bench, side, light=light, heavy=heavy) for side in (OURS, *others)}, rounds=1
    )
    for dag, what in (("chain_light", f"{light} x fibo(10)"), ("chain_heavy", f"{heavy} x fibo(33)")):
        for name, words in _NAMES.items():
            yield Row(
                benchmark="chain",
                metric=f"{what}: {words}",
                unit="s",
                ours=found[OURS][0][dag][name],
                upstream=found[others[0]][0][dag][name] if others else None,
                budget=Budget(most=10) if (dag, name, light) == ("chain_light", "run", 40) else Budget(),
            )
    print("\n".join(PUBLISHED % line for line in (_LIGHT_PUBLISHED, _HEAVY_PUBLISHED)), file=sys.stderr)


def _run(bench: Bench, side: Side, *, light: int, heavy: int) -> dict[str, dict[str, float]]:
    variables = {"BENCHMARK_LIGHT": str(light), "BENCHMARK_HEAVY": str(heavy)}
    if side.is_ours:
        variables["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] = "0"
    found = {}
    with run_deployment(
        side, postgres=bench.servers.postgres, slots=2, dags=DAGS / "chain", variables=variables
    ) as deployment:
        for dag in ("chain_light", "chain_heavy"):
            wait_for_dag(deployment, dag)
            deployment.api.trigger(dag)
            wait_until(partial(_is_over, deployment, dag), deployment, what=f"the run of {dag} is over")
            [run], [tasks] = (query(deployment, text.format(dag=dag)) for text in (_RUN, _TASKS))
            found[dag] = {"run": float(run["seconds"]), **{name: float(value) for name, value in tasks.items()}}
    return found


def _is_over(deployment: Deployment, dag: str) -> bool:
    states = [row["state"] for row in query(deployment, _RUN.format(dag=dag))]
    if "failed" in states:
        raise RuntimeError(f"the run of {dag} failed: see {deployment.logs}")
    return states == ["success"]
