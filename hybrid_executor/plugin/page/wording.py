"""What templates say about numbers and attempts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Protocol

from hybrid_executor.plugin.page.addresses import task_page

_WITHOUT_LIMIT = 2**31
_WAITS_FOR = {
    ("submitted", "celery"): "A worker: its message is in the queue.",
    ("submitted", "kubernetes"): "An agent: its pod is not created yet.",
    ("launching", "kubernetes"): "An agent creates its pod.",
    ("pending", "kubernetes"): "Its pod is created and has not started.",
    ("lost", "celery"): "Its worker is silent. The scheduler decides what follows.",
    ("lost", "kubernetes"): "Its pod is gone. The scheduler decides what follows.",
}


class Attempt(Protocol):
    """What is said of an attempt."""

    @property
    def state(self) -> str: ...
    @property
    def pool(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def trouble(self) -> str: ...
    @property
    def dag_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def map_index(self) -> int: ...


def why(attempt: Attempt) -> str:
    """Return what an attempt waits for, or why it ended."""
    if attempt.trouble:
        return f"Its record cannot be read: {attempt.trouble}"
    if attempt.state in ("failed", "revoked"):
        return attempt.reason or "No reason was given."
    return attempt.note or attempt.reason or _WAITS_FOR.get((attempt.state, attempt.pool), "")


def tab(attempt: Attempt) -> str:
    """Return the address of the tab of an attempt's task instance in Airflow's UI."""
    return task_page(attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index)


def slots(number: int) -> str:
    """Return a number of slots in words."""
    return "no limit" if number >= _WITHOUT_LIMIT else str(number)


def moment(seconds: float) -> str:
    """Return a moment in UTC, to the second."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
