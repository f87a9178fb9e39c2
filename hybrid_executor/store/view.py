"""What people and metrics want to know of the store.

Promises: nothing here writes, not even to repair. So it works on a Redis that is full or read-only. A key that holds a
value of the wrong type counts as empty; of a record, ``trouble`` says so. What is read of thousands of records is put
together by the server, a page at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis

from hybrid_executor.events import STREAM_START, AttemptId, Event, StreamId, decode_event
from hybrid_executor.states import State
from hybrid_executor.store.keys import Key, Keys
from hybrid_executor.store.records import Record, parse_record, unreadable_record
from hybrid_executor.store.scripts import calls, run_script
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import WrongType, checked_answers, is_wrong_type, words_for

_AT_ONCE = 1000
_Source = Literal["set", "events", "ids"]
_END = "0"


@dataclass(frozen=True, kw_only=True)
class LaunchPlace:
    """Where an attempt's entry of the launch stream is.

    :ivar ahead: how many entries are handed out before it; 0 once an agent has it.
    :ivar agent: who has it, "" for nobody yet.
    """

    ahead: int = 0
    agent: str = ""


class StoreView:
    """Reads of one instance that change nothing."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def now(self) -> int:
        """Return the server's time in milliseconds, the clock of all times in records."""
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def live(self, pool: str, fields: Sequence[str], *, where: Mapping[str, str] | None = None) -> list[Record]:
        """Return the records of a pool's live attempts, and of some that have ended.

        :param fields: read only these, besides the state.
        :param where: values that fields of a record must have. The first should be the one that fewest records have.
        """
        return self._survey("set", self._keys.live(pool), fields, where=where)

    def recent(
        self,
        fields: Sequence[str],
        *,
        states: Sequence[State] = (),
        since: int = 0,
        where: Mapping[str, str] | None = None,
        most: int = 100_000,
    ) -> list[Record]:
        """Return the records of attempts with an event, those with the newest event first.

        :param states: only attempts with an event of one of these; they may have another state now.
        :param since: milliseconds on the server's clock; older events do not count.
        :param most: stop after so many.
        """
        return self._survey("events", self._keys.events, fields, where=where, states=states, since=since, most=most)

    def records(self, attempts: Sequence[AttemptId], fields: Sequence[str]) -> list[Record]:
        """Return the records of attempts; those without one are left out."""
        return [
            record
            for start in range(0, len(attempts), _AT_ONCE)
            for record in self._survey("ids", None, fields, attempts=attempts[start : start + _AT_ONCE])
        ]

    @translated
    def _survey(
        self,
        source: _Source,
        key: Key | None,
        fields: Sequence[str],
        *,
        attempts: Sequence[AttemptId] = (),
        where: Mapping[str, str] | None = None,
        states: Sequence[State] = (),
        since: int = 0,
        most: int = 100_000,
    ) -> list[Record]:
        """Return records by id, each once, in the order in which they were found."""
        question = {"fields": fields, "where": list((where or {}).items()), "states": [state.value for state in states]}
        found: dict[str, Record] = {}
        cursor = "+" if source == "events" else _END
        while True:
            call = calls.Survey(
                source_key=key,
                prefix=self._keys.prefix,
                source=source,
                cursor=cursor,
                least=str(since),
                size=_AT_ONCE,
                question=json.dumps(question),
                attempts=tuple(attempts),
            )
            cursor, rows = run_script(self._client, call)
            for row in json.loads(rows):
                found.setdefault(row[0], self._record(row, ("state", *fields)))
            if str(cursor) == _END or len(found) >= most:
                return list(found.values())[:most]

    def _record(self, row: Sequence[Any], names: Sequence[str]) -> Record:
        attempt, *values = row
        if values:
            fields = {name: text for name, text in zip(names, values, strict=True) if text is not False}
            record = parse_record({**fields, "id": attempt})
            if record is not None:
                return record
        return unreadable_record(AttemptId(attempt), words_for(WrongType.RECORD, self._keys.attempt(attempt)))

    @translated
    def place_in_queue(self, queue_key: str, attempt: AttemptId) -> int | None:
        """Return how many messages of a broker list are handed out before an attempt's; ``None`` if it is not there."""
        skip = 0
        while True:
            call = calls.QueuePlace(queue_key=Key(queue_key), attempt=attempt, skip=skip, size=_AT_ONCE)
            ahead, count = run_script(self._client, call)
            if ahead >= 0:
                return skip + int(ahead)
            if count < _AT_ONCE:
                return None
            skip += _AT_ONCE

    @translated
    def place_in_launches(self, cluster: str, attempt: AttemptId) -> LaunchPlace | None:
        """Return where an attempt's launch waits in its cluster's stream; ``None`` if it has no launch there."""
        call = calls.LaunchPlace(launch_key=self._keys.launch(cluster), attempt=attempt)
        ahead, agent = run_script(self._client, call)
        return LaunchPlace(ahead=int(ahead), agent=str(agent)) if ahead >= 0 else None

    @translated
    def starting(self, cluster: str) -> tuple[int, int]:
        """Return how many pods of a cluster are on their way to their task's start, and the adaptive limit.

        The limit is 0 where no pod was created lately.
        """
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zrange(self._keys.starting(cluster), 0, -1, withscores=True)
        pipeline.hmget(self._keys.pace(cluster), ["limit"])
        scored, pace = _known(pipeline.execute(raise_on_error=False))
        now = self.now()
        return sum(float(score) > now for _, score in scored or ()), int(float((pace or [0])[0] or 0))

    @translated
    def unsettled_before(self) -> int:
        """Return before which time attempts must have been submitted to wait after a loss of data; 0 for none."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(self._keys.unsettled)
        [answer] = _known(pipeline.execute(raise_on_error=False))
        return int(answer) if str(answer or "").isdigit() else 0

    @translated
    def events_after(self, cursor: StreamId = STREAM_START, *, most: int = _AT_ONCE) -> tuple[list[Event], StreamId]:
        """Return the events after ``cursor``, the oldest first, and the cursor of the next call."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xrange(self._keys.events, f"({cursor}", "+", count=most)
        [entries] = _known(pipeline.execute(raise_on_error=False))
        return list(_events(entries or ())), StreamId(str(entries[-1][0])) if entries else cursor


def _known(answers: list[object]) -> list[Any]:
    """Return a pipeline's answers, ``None`` where a key holds a value of another type.

    :raises redis.RedisError: the first other error.
    """
    return [None if is_wrong_type(answer) else answer for answer in checked_answers(answers)]


def _events(entries: Sequence[tuple[str, Mapping[str, str]]]) -> Iterator[Event]:
    for stream_id, fields in entries:
        try:
            yield decode_event(stream_id, fields)
        except (KeyError, ValueError):
            continue  # another program's, or a newer release's
