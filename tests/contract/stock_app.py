"""A Celery application that knows nothing of this project: ``celery -A tests.contract.stock_app worker``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-untyped]

app: Any = Celery("stock", broker=os.environ.get("STOCK_BROKER", "memory://"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


def execute_workload(workload: str) -> None:
    """Note what arrived."""
    Path(os.environ["STOCK_OUTPUT"]).write_text(workload, encoding="utf-8")


app.task(name="execute_workload")(execute_workload)
