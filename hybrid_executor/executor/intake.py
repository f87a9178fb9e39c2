"""Events in: what workers and agents did with this scheduler's attempts."""

from __future__ import annotations

import logging
import time

from hybrid_executor.events import STREAM_START, Event, StreamId, stream_position
from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.pending import ALL_REPAIRS
from hybrid_executor.executor.revocation import revoke_again
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import EventBatch, Woken

log = logging.getLogger(__name__)

_READ_SECONDS = 1.0
_EPOCH_SECONDS = 2.0


class Intake:
    """Reads the events stream from this scheduler's cursor and applies what concerns its attempts.

    Events are hints: one of an older generation is dropped, and one that is missed is found again in the record. An end
    of an older generation is looked up there: after a loss of data, generations begin again.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cursor: StreamId = STREAM_START
        self._epoch = ""
        self._is_placed = False
        self._epoch_timer = Timer(_EPOCH_SECONDS, context.clock)

    def place(self) -> None:
        """Begin at the stream's end; everything that happens from now on is seen."""
        events = self._context.store.events
        self._epoch = events.begin_epoch(self._context.owner + "." + str(time.time_ns()))
        self._cursor = events.end()
        self._is_placed = True
        self._epoch_timer.restart()

    def read(self) -> None:
        """Take in all events there are, for at most a second."""
        if not self._is_placed:
            self.place()
            self._read_all_records()
            return
        context = self._context
        deadline = context.clock() + _READ_SECONDS
        if self._epoch_timer.is_due():
            # Begins another epoch where Redis is another server; that is seen below.
            context.store.events.present()
            self._epoch_timer.restart()
        while True:
            batch = context.store.events.read(self._cursor)
            if batch.epoch != self._epoch:
                log.warning("Redis lost data, or may have lost its last changes; attempts are recorded again")
                self._read_all_records()
                context.pending.repairs |= ALL_REPAIRS
                revoke_again(context)
                context.outage.note_loss()
                self.place()
                return
            if batch.has_gap:
                log.warning("Events were trimmed before they were read; reading the records instead")
                self._read_all_records()
            for event in batch.events:
                self._take_in(event)
            self._cursor = batch.cursor
            self._measure_lag(batch)
            if not batch.is_full or context.clock() >= deadline:
                return

    def _may_leave(self, tracked: Tracked) -> bool:
        return len(self._context.settings.routes.find(tracked.queue).targets) > 1

    def wait(self, seconds: float) -> Woken:
        """Wait for events and hints, at most this long."""
        if not self._is_placed:
            return Woken(has_events=True)
        return self._context.store.events.wait(self._cursor, seconds=seconds)

    def _read_all_records(self) -> None:
        self._context.pending.to_read |= {tracked.attempt for tracked in self._context.ledger}

    def _measure_lag(self, batch: EventBatch) -> None:
        if batch.events and batch.read_at:
            written_at, _ = stream_position(batch.events[0].id)
            self._context.metrics.time(metric.EVENTS_LAG, (batch.read_at - written_at) / 1000)

    def _take_in(self, event: Event) -> None:
        """Apply one event. If that fails, the attempt's record is read later, and the other events are applied."""
        try:
            tracked = self._context.ledger.get(event.attempt)
            if tracked is not None and event.generation >= tracked.generation:
                state, (at, _) = State(event.state), stream_position(event.id)
                if state is State.SUBMITTED:
                    tracked.submitted_at = at
                    if event.generation > tracked.generation and self._may_leave(tracked):
                        self._context.pending.to_read.add(event.attempt)  # its record says whether it is to go on
                self._context.apply(
                    tracked,
                    state,
                    event.generation,
                    holder=event.holder,
                    reason=event.reason,
                    namespace=event.namespace,
                    at=at,
                )
                if event.wants == "workload":
                    self._context.pending.to_renew.add(event.attempt)
            elif tracked is not None and State(event.state).is_terminal:
                self._context.pending.to_read.add(event.attempt)
        except Exception:  # noqa: BLE001 - one event must not keep all others from being taken in
            log.exception("An event of attempt %s could not be taken in; its record will be read", event.attempt)
            self._context.pending.to_read.add(event.attempt)
