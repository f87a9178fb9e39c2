"""What is done on a worker, or in a pod, when a run has missed its deadline."""

from __future__ import annotations

import os
import time
from typing import Any


def note_missed(team: str, context: Any) -> None:
    """Append a line to the file of missed deadlines, and take a while."""
    words = (team, context["dag_run"]["dag_id"], context["dag_run"]["dag_run_id"], os.getpid())
    marks = os.open(f"{os.environ['FAULT_MARKS']}.missed", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(marks, ("\t".join(map(str, words)) + "\n").encode())
    finally:
        os.close(marks)
    time.sleep(2)
