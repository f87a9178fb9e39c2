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


def record(event: str, *, user: User, details: Mapping[str, str], task: Record | None = None) -> None:
    """Write that a user does something, such as "drain worker".

    :param task: the attempt that it is done to; the row is shown with its task instance.
    """
    name = user.get_name()
    row = Log(event=f"{EVENT} {event}", owner=name, owner_display_name=name, extra=json.dumps(details))
    if task is not None and task.kind == "task":
        row.dag_id, row.task_id, row.run_id = task.dag_id, task.task_id, task.run_id
        row.map_index, row.try_number = task.map_index, task.try_number
    with own_session() as session:
        session.add(row)
        session.commit()
