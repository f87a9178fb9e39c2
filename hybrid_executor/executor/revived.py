"""Attempts that ended and are live in Redis again. They must not run twice, nor count for ever.

Redis fell back to older data, or a worker has written again what it ran while nobody waited for it any more.
"""

from __future__ import annotations

import logging

from hybrid_executor import compat
from hybrid_executor.executor.context import Context
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State

log = logging.getLogger(__name__)


def end_revived(context: Context) -> None:
    """Revoke what is live and ours in Redis, while neither this scheduler nor Airflow's database knows it as live.

    Attempts that are to be adopted are left alone.

    :raises StoreUnavailable: Redis could not be asked.
    """
    expected = set(context.pending.to_adopt.values())
    unknown = [
        attempt
        for attempt in context.store.attempts.owned_by(context.owner)
        if context.ledger.get(attempt) is None and attempt not in expected
    ]
    records = [
        record
        for record in context.store.attempts.records(unknown)
        if record is not None and not record.state.is_terminal and record.state is not State.UNKNOWN
    ]
    if not records:
        return
    rows = compat.read_tasks(record.key for record in records if record.kind == "task")
    revived = []
    for record in records:
        row = rows.get(record.key)
        if row is None or row.attempt != record.id or row.state not in compat.UNFINISHED:
            revived.append(record.id)
    if not revived:
        return
    log.warning("%s attempts that had ended are live again in Redis, which lost data; they are revoked", len(revived))
    context.store.attempts.revoke(revived, reason="It had ended before Redis lost data")
    context.metrics.count(metric.REPAIRED, len(revived), repair="revoked_revived")
