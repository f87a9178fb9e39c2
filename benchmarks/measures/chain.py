"""Tasks one after the other on a whole Airflow with PostgreSQL, one scheduler and one worker.

The shape is that of a public comparison (https://www.windmill.dev/docs/misc/benchmarks/competitors): one run of 40
tasks that compute ``fibo(10)``, and one of 10 that compute ``fibo(33)``. Ours waits for events in place of Airflow's
idle sleep, as standalone does, and parses each Dag file once. Upstream sleeps as long as Airflow does by default. Both
are measured from the start to the end of the run, as the database has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench
from benchmarks.deployment import (
    DAGS,
    PARSE_OPTION,
    PARSE_SECONDS,
    Deployment,
    query,
    run_deployment,
    wait_for_dag,
    wait_until,
)
from benchmarks.rows import Budget, Row
from benchmarks.sides import OURS, Side

_PUBLISHED = {  # there, on other machines, with Python
    "chain_light": (40, "Airflow 2.7.3 116 s, others 2 to 15 s"),
    "chain_heavy": (10, "Airflow 2.7.3 54.7 s, Kestra 15.8 s, Prefect 15.5 s, Windmill 8.3 s, Temporal 7.2 s"),
}
_RUN = "SELECT state, EXTRACT(EPOCH FROM end_date - start_date) AS seconds FROM dag_run WHERE dag_id = '{dag}'"
_TASKS = (
    "SELECT EXTRACT(EPOCH FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY start_date - queued_dttm)) AS to_running, "
    "EXTRACT(EPOCH FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY end_date - start_date)) AS running "
    "FROM task_instance WHERE dag_id = '{dag}'"
)
_NAMES = {"run": "whole run", "to_running": "queued to running, p50", "running": "running, p50"}


def measure(bench: Bench, *, light: int = 40, heavy: int = 10) -> Iterator[Row]:
    """Yield the seconds of both runs, where a step spends them, and the CPU time of a step by component."""
    others = bench.upstream_celery[:1]
    found = bench.alternate(
        {side: partial(_run, bench, side, light=light, heavy=heavy) for side in (OURS, *others)}, rounds=1
    )
    for dag, count, what in (
        ("chain_light", light, f"{light} x fibo(10)"),
        ("chain_heavy", heavy, f"{heavy} x fibo(33)"),
    ):
        published, words = _PUBLISHED[dag]
        here = ", ".join(f"{side.name} {one[dag]['run']:.1f} s" for side, [one] in found.items())
        bench.notes.append(
            f"{what}: {here}" + (f"; published, on other machines: {words}" if count == published else "")
        )
        for name, words in _NAMES.items():
            yield Row(
                benchmark="chain",
                metric=f"{what}: {words}",
                unit="s",
                ours=found[OURS][0][dag][name],
                upstream=found[others[0]][0][dag][name] if others else None,
                budget=Budget(most=10) if (dag, name, light) == ("chain_light", "run", 40) else Budget(),
            )
    for name, cpu in found[OURS][0]["cpu"].items():
        yield Row(
            benchmark="chain",
            metric=f"{light} x fibo(10): CPU of a step, {name}",
            unit="ms",
            ours=1000 * cpu / light,
            upstream=1000 * found[others[0]][0]["cpu"][name] / light if others else None,
        )


def _run(bench: Bench, side: Side, *, light: int, heavy: int) -> dict[str, dict[str, float]]:
    variables = {"BENCHMARK_LIGHT": str(light), "BENCHMARK_HEAVY": str(heavy)}
    if side.is_ours:
        variables["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] = "0"
        variables[PARSE_OPTION] = PARSE_SECONDS
    found: dict[str, dict[str, float]] = {}
    with run_deployment(
        side, postgres=bench.servers.postgres, slots=2, dags=DAGS / "chain", variables=variables
    ) as deployment:
        for dag in ("chain_light", "chain_heavy"):
            wait_for_dag(deployment, dag)
            before = deployment.cpu_seconds()
            deployment.api.trigger(dag)
            wait_until(partial(_is_over, deployment, dag), deployment, what=f"the run of {dag} is over")
            used = {name: seconds - before[name] for name, seconds in deployment.cpu_seconds().items()}
            found.setdefault("cpu", used)
            [run], [tasks] = (query(deployment, text.format(dag=dag)) for text in (_RUN, _TASKS))
            found[dag] = {"run": float(run["seconds"]), **{name: float(value) for name, value in tasks.items()}}
    return found


def _is_over(deployment: Deployment, dag: str) -> bool:
    states = [row["state"] for row in query(deployment, _RUN.format(dag=dag))]
    if "failed" in states:
        raise RuntimeError(f"the run of {dag} failed: see {deployment.logs}")
    return states == ["success"]
