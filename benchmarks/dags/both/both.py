"""Tasks that do nothing, some on workers and some in pods, all at once."""

import os

from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def both() -> None:
    """Ask for slots and for pods."""

    @task(retries=0)
    def on_worker(number: int) -> None:
        """Return."""

    # Upstream's executors are chosen by their name, ours by the queue.
    @task(retries=0, queue="kubernetes", executor=os.environ.get("BENCHMARK_POD_EXECUTOR"))
    def in_pod(number: int) -> None:
        """Return."""

    on_worker.expand(number=list(range(int(os.environ["BENCHMARK_ON_WORKERS"]))))
    in_pod.expand(number=list(range(int(os.environ["BENCHMARK_IN_PODS"]))))


both()
