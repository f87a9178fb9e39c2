"""Attempts that ended and stand in Redis as live again, because it fell back to older data. They must not run twice."""

from __future__ import annotations

import logging
from collections.abc import Collection

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.states import State

log = logging.getLogger(__name__)

_GOES_ON = ("queued", "running", "restarting")


def end_revived(desk: Desk, *, expected: Collection[AttemptId]) -> None:
    """Revoke what Redis says is live and ours, and neither this scheduler nor Airflow's database knows as such.

    :param expected: attempts that are about to be taken over.
    :raises StoreUnavailable: Redis could not be asked.
    """
    unknown = [
        attempt
        for attempt in desk.store.attempts.owned_by(desk.owner)
        if desk.ledger.get(attempt) is None and attempt not in expected
    ]
    records = [
        record
        for record in desk.store.attempts.records(unknown)
        if record is not None and not record.state.is_terminal and record.state is not State.UNKNOWN
    ]
    if not records:
        return
    rows = compat.read_tasks(record.key for record in records if record.kind == "task")
    revived = []
    for record in records:
        row = rows.get(record.key)
        if row is None or row.attempt != record.id or row.state not in _GOES_ON:
            revived.append(record.id)
    log.warning("%s attempts that had ended came back with older data of Redis; they are revoked", len(revived))
    desk.store.attempts.revoke(revived, reason="It had ended before Redis fell back to older data")
