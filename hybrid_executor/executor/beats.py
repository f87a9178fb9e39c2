"""Which task processes send heartbeats to Airflow's database. Only times of the same clock are compared.

The API server writes a heartbeat with its own clock, and the database's clock says how old it is. Both may differ from
this scheduler's clock. So a heartbeat that has changed between two looks is recent. One that has not changed for long
by this scheduler's own clock is old, whatever the other clocks say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hybrid_executor.compat import TaskRow


@dataclass
class _Seen:
    heartbeat: datetime | None
    since: float
    has_changed: bool = False


class Beats:
    """Heartbeats at the last looks. Tasks that are not asked about any more are forgotten."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, rows: Mapping[str, TaskRow], *, quiet_seconds: float, now: float) -> set[str]:
        """Return the ids of the task instances that have sent a heartbeat within ``quiet_seconds``.

        :param now: monotonic seconds.
        """
        seen: dict[str, _Seen] = {}
        for workload_id, row in rows.items():
            known = self._seen.get(workload_id)
            if known is None:
                known = _Seen(row.last_heartbeat_at, now)
            elif known.heartbeat != row.last_heartbeat_at:
                known = _Seen(row.last_heartbeat_at, now, has_changed=True)
            seen[workload_id] = known
        self._seen = seen
        return {
            workload_id for workload_id, row in rows.items() if self._beats(row, seen[workload_id], quiet_seconds, now)
        }

    @staticmethod
    def _beats(row: TaskRow, seen: _Seen, quiet_seconds: float, now: float) -> bool:
        if row.state != "running" or row.last_heartbeat_at is None:
            return False
        if now - seen.since >= quiet_seconds:
            return False
        return seen.has_changed or row.is_beating(quiet_seconds)
