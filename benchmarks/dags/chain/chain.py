"""Tasks one after the other, the shape of the public comparison that ``benchmarks/measures/chain.py`` names."""

import os

from airflow.sdk import DAG, task


def fibo(n: int) -> int:
    """Return a Fibonacci number the slow way."""
    return n if n <= 1 else fibo(n - 1) + fibo(n - 2)


def make_chain(dag_id: str, *, tasks: int, n: int) -> DAG:
    """Return a Dag of ``tasks`` tasks, each of which computes ``fibo(n)`` after the one before."""
    with DAG(dag_id, schedule=None, is_paused_upon_creation=False) as dag:

        @task(retries=0)
        def compute() -> int:
            """Compute one number."""
            return fibo(n)

        before = None
        for number in range(tasks):
            step = compute.override(task_id=f"task_{number:02}")()
            if before is not None:
                before >> step
            before = step
    return dag


light = make_chain("chain_light", tasks=int(os.environ["BENCHMARK_LIGHT"]), n=10)
heavy = make_chain("chain_heavy", tasks=int(os.environ["BENCHMARK_HEAVY"]), n=33)
