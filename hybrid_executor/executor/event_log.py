"""Rows of Airflow's audit log that wait to be saved, and those that are being saved."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.models.log import Log

MOST_ROWS = 20_000
"""How many rows may wait; beyond it the oldest are dropped. The scheduler takes all of them in each loop."""


class EventLog(deque["Log"]):
    """The queue that the scheduler empties into its database, one ``popleft`` per row.

    SQLAlchemy holds the objects of a bulk save by weak references only, and Airflow holds none: a row without another
    reference would be deleted before it is written. So a row that was taken is kept until :meth:`release`.
    """

    def __init__(self) -> None:
        super().__init__(maxlen=MOST_ROWS)
        self._taken: deque[Log] = deque(maxlen=MOST_ROWS)

    def popleft(self) -> Log:
        """Return the oldest row, and keep it alive while it is saved."""
        row = super().popleft()
        self._taken.append(row)
        return row

    def release(self) -> None:
        """Drop the rows that were taken. Call it when the scheduler has saved them: in its next loop."""
        self._taken.clear()
