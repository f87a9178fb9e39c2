"""A Dag of the bundle blue: tasks of the default queue and of the queue of pods."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("of_blue", schedule=None):

    @task(retries=1, retry_delay=0)
    def fails_once(**context: object) -> int:
        if context["ti"].try_number == 1:  # type: ignore[attr-defined]
            raise ValueError("the first try of blue fails")
        return 1

    @task(queue="kubernetes")
    def in_pod(number: int) -> int:
        return number + 1

    in_pod(fails_once())
