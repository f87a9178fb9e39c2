"""One task in the scheduler's own processes, one in a pod."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("mixed", schedule=None):

    @task
    def beside_the_scheduler() -> int:
        return 20

    @task(queue="kubernetes")
    def in_pod(number: int) -> int:
        return number + 1

    in_pod(beside_the_scheduler())
