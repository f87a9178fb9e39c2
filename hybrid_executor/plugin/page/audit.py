"""The rows that actions write into Airflow's audit log: who does what.

A row is written before the action, as Airflow does. So there is no action without a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow.models.log import Log

from hybrid_executor.compat import own_session
from hybrid_executor.plugin.page.access import User
from hybrid_executor.store import Record

EVENT = "hybrid executor"
"""What the events begin with. Those that the executor writes itself go on with a colon."""


def record(event: str, *, user: User, details: Mapping[str, str]) -> None:
    """Write that a user does something to a worker or an agent, such as "drain worker"."""
    _save(Log(event=f"{EVENT} {event}", extra=json.dumps(details), **_names(user)))


def record_of_task(event: str, *, user: User, task: Record, details: Mapping[str, str]) -> None:
    """Write that a user does something to an attempt; the row is shown with its task instance."""
    columns = {"dag_id": task.dag_id, "task_id": task.task_id, "run_id": task.run_id, "map_index": task.map_index}
    of_task = {**columns, "try_number": task.try_number} if task.kind == "task" else {}
    _save(Log(event=f"{EVENT} {event}", extra=json.dumps(details), **_names(user), **of_task))


def _names(user: User) -> dict[str, str]:
    return {"owner": user.get_name(), "owner_display_name": user.get_name()}


def _save(row: Log) -> None:
    with own_session() as session:
        session.add(row)
        session.commit()
