"""What task processes did with their attempts, known in the worker's main process without asking Redis.

A Redis that falls back to older data forgets claims and ends that it had confirmed. The task process that made them is
busy or gone by then. So it sends them to the main process over a pipe, and the heartbeat writes them again.
"""

from __future__ import annotations

import json
import logging
import os
import select
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Record, Restoration
from hybrid_workers.reports import Report, process_of

log = logging.getLogger(__name__)

_REMEMBERED_SECONDS = 900.0
_MOST_ENDED = 10_000
_JUST_ENDED_SECONDS = 60.0
_LOOKED_FOR_SECONDS = 120.0
_LONGEST_TEXT = 500


@dataclass(frozen=True, kw_only=True)
class Note:
    """One claim, or the end of what was claimed.

    :ivar end: the state it ended in, "" for a claim.
    :ivar fields: of the record: what its end is, or what it was claimed with. No secrets.
    """

    attempt: AttemptId
    generation: int
    owner: OwnerId = OwnerId("")
    pool: str = ""
    end: str = ""
    fields: Mapping[str, str | int] = field(default_factory=dict)


class Witness:
    """Carries notes from the task processes, and remembers them."""

    def __init__(self) -> None:
        self._reading = self._writing = -1
        self._rest = b""
        self._running: dict[AttemptId, tuple[Note, float]] = {}
        self._ended: dict[AttemptId, tuple[Note, float]] = {}
        self._lost: dict[AttemptId, float] = {}

    def open(self) -> None:
        """Make the pipe; call it before any task process is forked."""
        if self._reading < 0:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)

    def note(self, note: Note) -> None:
        """Send a note to the main process; called in a task process. A note that does not fit is left out."""
        fields = {name: str(value)[:_LONGEST_TEXT] for name, value in note.fields.items()}
        line = json.dumps({**asdict(note), "fields": fields}).encode() + b"\n"
        # One write of this size is never mixed with another process's.
        if self._writing < 0 or len(line) > select.PIPE_BUF:
            return
        try:
            os.write(self._writing, line)
        except OSError as error:
            log.debug("A note on attempt %s could not be sent to the worker's main process: %s", note.attempt, error)

    def gather(self, active: Collection[AttemptId], *, now: float | None = None) -> None:
        """Read the notes, and forget old ones.

        :param active: what the task processes have.
        """
        now = time.monotonic() if now is None else now
        for note in self._read():
            self._remember(note, now=now)
        for attempt in active:
            if attempt in self._running:
                self._running[attempt] = self._running[attempt][0], now
        for known in (self._running, self._ended):
            for attempt in [key for key, (_, at) in known.items() if now - at > _REMEMBERED_SECONDS]:
                del known[attempt]
        while len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _remember(self, note: Note, *, now: float) -> None:
        claim, _ = self._running.pop(note.attempt, (note, now))
        if note.end and note.end != State.LOST.value and claim.generation > note.generation:
            # Redis lost the claim, and its scheduler, which knows it, may write it again.
            note = replace(note, generation=claim.generation)
        (self._ended if note.end else self._running)[note.attempt] = note, now

    def _read(self) -> list[Note]:
        if self._reading < 0:
            return []
        chunks = [self._rest]
        while True:
            try:
                chunk = os.read(self._reading, 65536)
            except BlockingIOError:
                break
            if not chunk:
                break
            chunks.append(chunk)
        *lines, self._rest = b"".join(chunks).split(b"\n")
        return [Note(**json.loads(line)) for line in lines]

    def keep_end(self, report: Report) -> None:
        """Remember how a task process ended that could not tell it itself.

        The record may be lost, or written again by its scheduler, which does not know the process: then
        :meth:`say_lost_again` tells the end.
        """
        claim, _ = self._running.get(report.attempt, (None, 0.0))
        if claim is None or process_of(str(claim.fields.get("claim_token", ""))) != report.process:
            return
        now = time.monotonic()
        note = Note(attempt=claim.attempt, generation=claim.generation, end=report.state.value, fields=report.fields)
        self._remember(note, now=now)
        self._lost[note.attempt] = now + _LOOKED_FOR_SECONDS

    def say_again(self, attempts: Attempts, *, active: Collection[AttemptId]) -> None:
        """Write again what runs here and what has ended here, where the records in Redis are older.

        :raises StoreUnavailable: Redis could not be asked; nothing is forgotten.
        """
        now = time.monotonic()
        running = [note for note, _ in self._running.values() if note.attempt in active]
        records = _records_of(attempts, [*running, *(note for note, _ in self._ended.values())])
        behind = [_restoration(note) for note in running if _is_behind(records[note.attempt], note)]
        attempts.restore(behind)
        ended_again = self._end_again(attempts, records)
        self._lost = {
            note.attempt: now + _LOOKED_FOR_SECONDS
            for note, at in self._ended.values()
            if records[note.attempt] is None and now - at <= _JUST_ENDED_SECONDS
        }
        if behind or ended_again:
            log.warning(
                "Redis fell back to older data: wrote %d running and %d ended attempts again", len(behind), ended_again
            )

    def say_lost_again(self, attempts: Attempts) -> None:
        """Write the ends again of what ended just before Redis lost its record.

        Its scheduler may not have heard of the end, and writes the record again as that of what runs.

        :raises StoreUnavailable: Redis could not be asked; nothing is forgotten.
        """
        now = time.monotonic()
        self._lost = {attempt: until for attempt, until in self._lost.items() if attempt in self._ended and now < until}
        records = _records_of(attempts, [self._ended[attempt][0] for attempt in self._lost])
        if count := self._end_again(attempts, records):
            log.warning("%d attempts ended here just before Redis lost their records: wrote their ends again", count)
        self._lost = {attempt: until for attempt, until in self._lost.items() if records[attempt] is None}

    def _end_again(self, attempts: Attempts, records: Mapping[AttemptId, Record | None]) -> int:
        """Write the ends again that these records do not know; return how many they were."""
        ended = [self._ended[attempt][0] for attempt in records if attempt in self._ended]
        changes = [change for note in ended if (change := _end_again(records[note.attempt], note)) is not None]
        attempts.advance_all(changes)
        return len(changes)


def _records_of(attempts: Attempts, notes: Sequence[Note]) -> dict[AttemptId, Record | None]:
    known = [note.attempt for note in notes]
    return dict(zip(known, attempts.records(known), strict=True)) if known else {}


def _is_behind(record: Record | None, note: Note) -> bool:
    return record is None or (not record.state.is_terminal and record.generation < note.generation)


def _restoration(note: Note) -> Restoration:
    return Restoration(
        attempt=note.attempt,
        owner=note.owner,
        pool=note.pool,
        state=State.RUNNING,
        generation=note.generation,
        fields=note.fields,
        replaces_older=True,
    )


def _end_again(record: Record | None, note: Note) -> Change | None:
    if record is None or record.state.is_terminal or record.generation > note.generation:
        return None
    return Change(attempt=note.attempt, to=State(note.end), generation=record.generation, fields=note.fields)
