"""Attempts that Airflow has ended or taken back: they must not start, whenever Redis can be told."""

from __future__ import annotations

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.store import Record


class Abandoned:
    """Remembers them until their records say that they are revoked."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting: list[AttemptId] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, attempt: AttemptId) -> None:
        """Have an attempt revoked the next time that Redis is asked."""
        self._waiting.append(attempt)

    def revoke(self) -> None:
        """Revoke all of them.

        :raises StoreUnavailable: Redis could not be asked; they wait.
        """
        if self._waiting:
            self._desk.store.attempts.revoke(self._waiting, reason="Airflow ended this attempt")
            self._waiting.clear()

    def withdraw(self, attempt: AttemptId) -> Record | None:
        """Revoke one at once, and take back its message where it still waits; return its record from before.

        Does nothing while Redis is away.

        :raises StoreUnavailable: Redis could not be asked; it waits.
        """
        desk = self._desk
        if not desk.outage.may_ask():
            return None
        with desk.outage.watch():
            record, payload, _ = desk.store.attempts.workload(attempt)
            if record is not None and record.pool in desk.pools:
                desk.pools[record.pool].unsend(desk.store.attempts, record, payload)
            desk.store.attempts.revoke([attempt], reason="Stuck in queued: Airflow takes it back")
            self._waiting.remove(attempt)
        return record
