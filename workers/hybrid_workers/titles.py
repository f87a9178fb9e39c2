"""What ``ps`` and ``top`` show of the processes that a worker forks.

Airflow's supervisor sets the title of the process that it runs in and leaves it there. So a task process without a task
would show the last one that it ran.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_executor.events import AttemptId


def show_role(role: str) -> None:
    """Show what this process beside a worker does."""
    _show(role)


def show_idle(worker: str) -> None:
    """Show that this process of a worker waits for a task."""
    _show(f"{worker}: idle")


@contextmanager
def showing(worker: str, attempt: AttemptId) -> Iterator[None]:
    """Show an attempt within the context, until Airflow's supervisor shows the task itself; then idle again."""
    _show(f"{worker}: attempt {attempt}")
    try:
        yield
    finally:
        show_idle(worker)


def _show(what: str) -> None:
    # Airflow does not set titles on macOS either, where that ends forked processes.
    if sys.platform != "darwin":
        from setproctitle import setproctitle

        setproctitle(f"airflow hybrid worker -- {what}")
