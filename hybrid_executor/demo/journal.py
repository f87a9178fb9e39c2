"""All attempts in the store, collected while a demo runs."""

from __future__ import annotations

from hybrid_executor.events import STREAM_START, AttemptId, StreamId
from hybrid_executor.store import Record, Store


class Journal:
    """Follows the events stream from its beginning and keeps the latest records."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: StreamId = STREAM_START
        self._records: dict[AttemptId, Record] = {}
        self.workers: dict[str, str] = {}
        """Host by name of every worker that has been seen."""

    @property
    def records(self) -> list[Record]:
        """All records of tasks, in the order of their submission."""
        return sorted(self._records.values(), key=lambda record: (record.submitted_at, record.id))

    def update(self) -> None:
        """Read what has changed.

        :raises StoreUnavailable: Redis does not answer; nothing is lost.
        """
        is_full = True
        touched = {attempt for attempt, record in self._records.items() if not record.state.is_terminal}
        while is_full:
            batch = self._store.events.read(self._cursor)
            self._cursor, is_full = batch.cursor, batch.is_full
            touched.update(event.attempt for event in batch.events)
        for attempt, record in zip(touched, self._store.attempts.records(list(touched)), strict=True):
            if record is not None and record.kind == "task":
                self._records[attempt] = record
        for worker in self._store.presence.members("worker"):
            if worker.is_alive:
                self.workers[worker.name] = worker.fields.get("hostname", "")
