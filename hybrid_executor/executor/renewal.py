"""New workloads, with new tokens, for attempts whose pod was ready when the old one had expired."""

from __future__ import annotations

import logging

from hybrid_executor import compat
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.resubmission import queued_workloads
from hybrid_executor.store import Renewal

log = logging.getLogger(__name__)


def renew_workloads(context: Context) -> None:
    """Make new workloads for the attempts that wait for one, as far as Airflow still has their tasks queued as them.

    An attempt that gets none here is launched again by its agent after a while, so that its end is decided as always.

    :raises StoreUnavailable: Redis could not be asked; they are made again.
    """
    pending = context.pending
    asked = set(pending.to_renew)
    waiting = [tracked for tracked in map(context.ledger.get, asked) if tracked is not None and tracked.kind == "task"]
    made = queued_workloads(context, waiting) if waiting else {}
    renewals = []
    for tracked in waiting:
        workload = made.get(tracked.attempt)
        if workload is None or isinstance(workload, Exception):
            why_not = workload or "Airflow no longer waits for it"
            log.info("No new workload can be made for attempt %s: %s", tracked.attempt, why_not)
            continue
        payload = compat.read_workload(workload).airflow.model_dump_json()
        renewals.append(Renewal(tracked.attempt, tracked.generation, payload))
    if renewals:
        renewed = context.store.hand_overs.renew(renewals)
        log.info("Made new workloads for %s attempts whose pods are ready", renewed)
    pending.to_renew -= asked
