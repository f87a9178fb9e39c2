"""Tasks that end before they start or are killed, each in its own way; one that fails by itself, and one that waits."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task

with DAG("ending", schedule=None):

    def shoot_the_supervisor() -> None:
        print("before the shot", flush=True)
        logs = Path(os.environ["AIRFLOW_HOME"], "logs", "dag_id=ending")
        mine = f"**/task_id={get_current_context()['ti'].task_id}/attempt=1.log"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not any("before the shot" in p.read_text() for p in logs.glob(mine)):
            time.sleep(0.1)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    @task(queue="kubernetes", executor_config={"KubernetesExecutor": {"image": "missing.invalid/airflow:1"}})
    def without_image() -> None: ...

    @task(
        queue="kubernetes",
        executor_config={"KubernetesExecutor": {"imagee": "airflow:1"}},
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
    def rejected() -> None: ...

    @task(queue="kubernetes", executor_config={"pod_template_file": "/no/such/template.yaml"})
    def without_template() -> None: ...

    @task(queue="kubernetes")
    def killed_in_pod() -> None:
        shoot_the_supervisor()

    @task
    def killed_on_worker() -> None:
        shoot_the_supervisor()

    @task
    def fails_by_itself() -> None:
        raise ValueError("on purpose")

    @task(queue="kubernetes")
    def waits_in_pod() -> None:
        print("a line of the task that waits")
        deadline = time.monotonic() + 900
        while not Path(os.environ["AIRFLOW_HOME"], "ending-may-end").exists() and time.monotonic() < deadline:
            time.sleep(0.2)

    without_image()
    rejected()
    without_template()
    killed_in_pod()
    killed_on_worker()
    fails_by_itself()
    waits_in_pod()
