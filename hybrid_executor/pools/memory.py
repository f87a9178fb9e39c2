"""A pool that only remembers what it was given: for dry runs and tests."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.pools.work import Work
from hybrid_executor.store import Attempts, Record, Submission


class MemoryPool:
    """Records attempts and runs nothing; ``prepared`` holds the work in order."""

    has_own_broker = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.prepared: list[Work] = []

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to record ``work``; nothing will run it."""
        self.prepared.append(work)
        return Submission(
            attempt=work.attempt,
            owner=work.owner,
            pool=self.name,
            fields=work.record_fields(),
            payload=work.workload_json,
            expected_generation=work.expected_generation,
        )

    def close(self) -> None:
        """There is no connection to give up."""

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Nothing is left to send."""
        return []

    def take_refused(self) -> list[tuple[Work, str]]:
        """Nothing is sent, so nothing is refused."""
        return []

    def unsend(self, attempts: Attempts, record: Record, payload: str) -> bool:
        """Nothing was handed out."""
        return False

    def lost(self, attempts: Attempts, records: Sequence[Record]) -> list[Record]:
        """Not known here."""
        return []
