"""A worker application whose workloads leave marks and change their row, as Airflow's API server would for them.

``celery -A tests.fault.churn_app worker`` with the CHURN_* variables set. All but the workload is the real worker.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

from hybrid_executor.config import DictConfig
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.deployment import read_deployment

_TO_RUNNING = "UPDATE task_instance SET state = 'running', last_heartbeat_at = ? WHERE map_index = ?"
_TO_SUCCESS = "UPDATE task_instance SET state = 'success' WHERE map_index = ?"


def run_and_mark(workload: Any) -> int:
    """Run as Airflow would: the task instance is running before the body begins, and has its state before we end."""
    ti = workload.ti
    with closing(sqlite3.connect(os.environ["CHURN_DATABASE"], timeout=60, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_TO_RUNNING, (f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S.%f}", ti.map_index))
        note("begin", ti.map_index)
        note("end", ti.map_index)
        database.execute(_TO_SUCCESS, (ti.map_index,))
    return 0


def note(what: str, index: int) -> None:
    """Append a line to the marks, in one write that no other can tear."""
    marks = os.open(os.environ["CHURN_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(marks, f"{what} {index}\n".encode())
    finally:
        os.close(marks)


app = create_worker_app(
    read_deployment(
        DictConfig(
            {
                "celery": {
                    "broker_url": os.environ["CHURN_REDIS"],
                    "task_acks_late": os.environ["CHURN_ACKS_LATE"],
                    "worker_prefetch_multiplier": os.environ["CHURN_PREFETCH"],
                },
                "hybrid_executor": {"redis_url": os.environ["CHURN_REDIS"]},
                "celery_broker_transport_options": {"visibility_timeout": os.environ["CHURN_VISIBILITY"]},
            }
        )
    ),
    run=run_and_mark,
)
