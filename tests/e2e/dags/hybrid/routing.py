"""One task per kind of queue, with mapping: each returns the host name and what its pod was told."""

from __future__ import annotations

import os
import socket

from airflow.sdk import DAG, task

with DAG("routing", schedule=None):

    @task
    def on_default() -> list[int]:
        return [1, 2, 3]

    @task(queue="kubernetes", executor_config={"KubernetesExecutor": {"env_vars": {"GIVEN": "by the task"}}})
    def in_pod(number: int) -> dict[str, object]:
        return {"number": number, "given": os.environ.get("GIVEN"), "host": socket.gethostname()}

    @task(queue="gpu-queue")
    def on_gpu(answers: list[dict]) -> dict[str, object]:
        return {"sum": sum(answer["number"] for answer in answers), "profile": os.environ.get("HYBRID_PROFILE")}

    on_gpu(in_pod.expand(number=on_default()))
