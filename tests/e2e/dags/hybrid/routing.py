"""One task per kind of queue, with mapping: each returns the host name and what its pod was told.

Every run misses its deadline at once, which has the executor run a callback.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, SyncCallback, task


def note_overdue(words: str) -> None:
    """Leave a trace beside Airflow's database."""
    Path(os.environ["AIRFLOW_HOME"], "overdue").write_text(words, encoding="utf-8")


DEADLINE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(seconds=0),
    callback=SyncCallback(note_overdue, kwargs={"words": "late"}),
)

with DAG("routing", schedule=None, deadline=DEADLINE):

    @task
    def on_default() -> list[int]:
        print("on_default shows this")
        return [1, 2]

    @task(queue="kubernetes", executor_config={"KubernetesExecutor": {"env_vars": {"GIVEN": "by the task"}}})
    def in_pod(number: int) -> dict[str, object]:
        return {"number": number, "given": os.environ.get("GIVEN"), "host": socket.gethostname()}

    @task(queue="gpu-queue")
    def on_gpu(answers: list[dict]) -> dict[str, object]:
        return {"sum": sum(answer["number"] for answer in answers), "profile": os.environ.get("HYBRID_PROFILE")}

    on_gpu(in_pod.expand(number=on_default()))
