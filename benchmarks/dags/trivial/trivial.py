"""As many tasks that do nothing as the benchmark asks for."""

import os

from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def trivial() -> None:
    """Ask for nothing but a slot, many times."""

    @task(retries=0)
    def nothing(number: int) -> None:
        """Return."""

    nothing.expand(number=list(range(int(os.environ["BENCHMARK_TASKS"]))))


trivial()
