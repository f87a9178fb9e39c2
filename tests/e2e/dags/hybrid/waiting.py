"""One task that runs, one that no worker takes, and one whose image does not exist."""

from __future__ import annotations

import os
import time
from pathlib import Path

from airflow.sdk import DAG, task

with DAG("waiting", schedule=None):

    @task(queue="nobody")
    def unserved() -> None: ...

    @task
    def runs() -> None:
        deadline = time.monotonic() + 900
        while not Path(os.environ["AIRFLOW_HOME"], "waiting-may-end").exists() and time.monotonic() < deadline:
            time.sleep(0.2)

    @task(queue="kubernetes", executor_config={"KubernetesExecutor": {"image": "missing.invalid/airflow:1"}})
    def without_image() -> None: ...

    unserved()
    runs()
    without_image()
