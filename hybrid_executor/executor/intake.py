"""Events in: what workers and agents did with this scheduler's attempts."""

from __future__ import annotations

import logging
import time

from hybrid_executor.events import STREAM_START, AttemptId, Event, StreamId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.states import State
from hybrid_executor.store import Record

log = logging.getLogger(__name__)

_READ_SECONDS = 1.0
_LOOK_SECONDS = 2.0


class Intake:
    """Reads the events stream from this scheduler's cursor and applies what concerns its attempts.

    Events are hints: one of an older generation is dropped, one that is missed is found again in the record.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._cursor: StreamId = STREAM_START
        self._epoch = ""
        self._is_placed = False
        self.lost: set[AttemptId] = set()
        self.must_reconcile = False
        self.data_was_lost = False
        self._next_look = 0.0

    def place(self) -> None:
        """Begin at the stream's end; everything that happens from now on is seen."""
        self._epoch = self._desk.store.events.begin_epoch(self._desk.owner + "." + str(time.time_ns()))
        self._cursor = self._desk.store.events.end()
        self._is_placed = True
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def read(self) -> None:
        """Take in all events there are, for at most a second."""
        if not self._is_placed:
            self.place()
            self.must_reconcile = True
            return
        deadline = time.monotonic() + _READ_SECONDS
        if time.monotonic() >= self._next_look:
            # Begins another epoch where Redis is another server; it is seen below.
            self._desk.store.events.present()
            self._next_look = time.monotonic() + _LOOK_SECONDS
        while True:
            batch = self._desk.store.events.read(self._cursor)
            if batch.epoch != self._epoch:
                log.warning("Redis lost data, or may have lost its last changes; attempts are recorded again")
                self.data_was_lost = self.must_reconcile = True
                self._desk.outage.note_loss()
                self.place()
                return
            if batch.has_gap:
                log.warning("Events were trimmed before they were read; reading the records instead")
                self.must_reconcile = True
            for event in batch.events:
                self._take_in(event)
            self._cursor = batch.cursor
            if not batch.is_full or time.monotonic() >= deadline:
                return

    def _take_in(self, event: Event) -> None:
        """Apply one event; where that fails, the records are read for it, and the other events are not held up."""
        try:
            tracked = self._desk.ledger.get(event.attempt)
            if tracked is not None and event.generation >= tracked.generation:
                self._apply(tracked, State(event.state), event.generation, event.holder, event.reason)
        except Exception:  # noqa: BLE001 - one event must not keep all others from being taken in
            log.exception("An event of attempt %s could not be taken in; its record will be read", event.attempt)
            self.must_reconcile = True

    def apply_record(self, tracked: Tracked, record: Record) -> None:
        """Bring what is remembered of an attempt up to its record; one of a newer release's state is left alone."""
        if record.generation >= tracked.generation and record.state is not State.UNKNOWN:
            self._apply(tracked, record.state, record.generation, record.holder, record.reason)

    def _apply(self, tracked: Tracked, state: State, generation: int, holder: str, reason: str) -> None:
        if state == tracked.state and generation == tracked.generation and state is not State.LOST:
            return
        tracked.state, tracked.generation, tracked.holder = state, generation, holder
        tracked.since = time.monotonic()
        if state.is_terminal:
            self._desk.settle(tracked, state, reason)
        elif state is State.LOST:
            self.lost.add(tracked.attempt)
        elif state is State.RUNNING and tracked.kind == "callback":
            self._desk.report(tracked, state, holder)
