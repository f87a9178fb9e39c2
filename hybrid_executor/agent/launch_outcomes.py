"""Outcomes of launches, and what they wait for, brought to the records.

Promises: an entry leaves the launch stream in the same step that records its outcome; a pod whose attempt was revoked
or launched anew meanwhile is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hybrid_executor.agent.deletion import Doomed, PodRemover
from hybrid_executor.agent.launch import Again, Created, Failed
from hybrid_executor.agent.preparation import LAUNCHABLE
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Claim, LaunchAck, Outcome

log = logging.getLogger(__name__)


class OutcomeRecorder:
    """Records the outcomes of one cluster's launches."""

    def __init__(self, attempts: Attempts, *, cluster: str, remover: PodRemover) -> None:
        self._attempts = attempts
        self._cluster = cluster
        self._remover = remover

    def record(self, items: Sequence[Created | Failed | Again]) -> None:
        """Record outcomes, in their order, and what others wait for.

        :raises StoreUnavailable: Redis went away; all may be recorded again.
        """
        # Notes first: an outcome in the same batch is younger and clears them.
        self._attempts.annotate(
            {item.launch.entry.attempt: {"note": item.note} for item in items if isinstance(item, Again)}
        )
        outcomes = [item for item in items if not isinstance(item, Again)]
        claims = self._attempts.advance_all([self._change(outcome) for outcome in outcomes])
        for outcome, claim in zip(outcomes, claims, strict=True):
            if isinstance(outcome, Created):
                self._after_creation(outcome, claim)
                continue
            if outcome.unwanted is not None:
                self._delete(outcome.unwanted)
            if claim.is_granted:
                log.info("Launch of %s failed (%s): %s", outcome.record.name, outcome.category, outcome.reason)

    def _change(self, outcome: Created | Failed) -> Change:
        record = outcome.record
        acknowledged = LaunchAck(self._cluster, outcome.launch.entry.id)
        if isinstance(outcome, Created):
            return Change(
                attempt=record.id,
                to=State.PENDING,
                generation=record.generation,
                fields={"pod": outcome.name, "namespace": outcome.namespace, "holder": outcome.name, "note": ""},
                ack=acknowledged,
            )
        return Change(
            attempt=record.id,
            to=State.LOST if outcome.is_lost else State.FAILED,
            generation=record.generation,
            # A pod that is there already may have been seen to wait or to run.
            sources=LAUNCHABLE if outcome.unwanted is None else None,
            fields={"reason": outcome.reason, "category": outcome.category, "note": ""},
            ack=acknowledged,
        )

    def _after_creation(self, created: Created, claim: Claim) -> None:
        if claim.outcome is Outcome.STALE or claim.state == State.REVOKED:
            log.info("%s was revoked while its pod was created: deleting %s", created.record.name, created.name)
            self._delete(created)
        elif claim.is_granted:
            log.info("Launched %s as pod %s/%s", created.record.name, created.namespace, created.name)

    def _delete(self, created: Created) -> None:
        self._remover.clean("delete", Doomed(created.namespace, created.name, created.uid))
