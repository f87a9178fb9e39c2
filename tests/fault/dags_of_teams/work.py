"""Work of one team: the same file in the bundle of each team. Each task writes when it begins and when it ends."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, SyncCallback, get_current_context, task

TEAM = Path(__file__).parent.name


def note(what: str) -> None:
    """Append a line to the marks, in one write that no other can tear."""
    ti = get_current_context()["ti"]
    words = (what, ti.run_id, ti.task_id, ti.map_index, ti.try_number, "body", os.getpid(), time.time())
    marks = os.open(os.environ["FAULT_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(marks, ("\t".join(map(str, words)) + "\n").encode())
    finally:
        os.close(marks)


@task
def work(number: int = 0) -> None:
    note("begin")
    time.sleep(float((get_current_context()["dag_run"].conf or {}).get("seconds", 1)))
    note("end")


RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=0)}

with DAG(f"of_{TEAM}", schedule=None, default_args=RETRIES, max_active_runs=50):
    work.override(task_id="on_worker").expand(number=[1, 2, 3])
    work.override(task_id="in_pod", queue="kubernetes")()

with DAG(
    f"late_{TEAM}",
    schedule=None,
    default_args=RETRIES,
    max_active_runs=50,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=2),
        callback=SyncCallback("missed.note_missed", {"team": TEAM}),
    ),
):
    work.override(task_id="on_worker")()
