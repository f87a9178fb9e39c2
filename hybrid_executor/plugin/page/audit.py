"""The rows that actions write into Airflow's audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow.models.log import Log

from hybrid_executor.compat import own_session
from hybrid_executor.plugin.page.access import User

_MOST_CHARACTERS = 60


def record(event: str, *, user: User, details: Mapping[str, str], **task: object) -> None:
    """Write who does what, and commit it. It is written before the action, as Airflow does: no action without a row.

    :param event: what is done, such as "drain worker".
    :param task: columns of the task instance that it is about, if it is about one.
    """
    name = user.get_name()
    row = Log(
        event=f"hybrid executor {event}"[:_MOST_CHARACTERS],
        owner=name,
        owner_display_name=name,
        extra=json.dumps(details),
        **task,
    )
    with own_session() as session:
        session.add(row)
        session.commit()
