"""The events stream, read by every scheduler from its own cursor, and the launch streams, shared by launchers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import redis
from redis.exceptions import ResponseError

from hybrid_executor.events import STREAM_START, AttemptId, Event, StreamId, decode_event, stream_position
from hybrid_executor.states import State
from hybrid_executor.store.epochs import KEPT_SECONDS, SETTLING_SECONDS, Epoch
from hybrid_executor.store.keys import LAUNCH_GROUP, Key, Keys
from hybrid_executor.store.refusals import code_of
from hybrid_executor.store.scripts import calls, run_script, run_scripts
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import is_wrong_type

log = logging.getLogger(__name__)

T = TypeVar("T")

_GIVEN_BACK_MILLISECONDS = 86_400_000
_ALL_ENTRIES = 10_000_000
_RENEWED_AT_ONCE = 2000  # so that thousands that wait do not keep the server from others


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """What one read of the events stream brought.

    :ivar cursor: where the next read begins.
    :ivar has_gap: entries after the old cursor were trimmed: reconcile from records.
    :ivar epoch: Redis' epoch, "" where it has none: data was lost, or no epoch has begun yet.
    :ivar is_full: there may be more to read at once.
    :ivar read_at: when it was read, milliseconds on the server's clock.
    """

    events: tuple[Event, ...]
    cursor: StreamId
    has_gap: bool
    epoch: str
    is_full: bool
    read_at: int = 0


class Woken(NamedTuple):
    """What ended a wait for events.

    :ivar has_events: there is something to read.
    :ivar hinted: attempts whose task has told Airflow its end, and whose process has not ended yet.
    """

    has_events: bool
    hinted: tuple[AttemptId, ...] = ()


class EventStream:
    """One entry per state change; every scheduler sees all of them."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def end(self) -> StreamId:
        """Return the id of the newest entry: a reader that starts here sees everything that follows."""
        try:
            newest = self._client.xrevrange(self._keys.events, count=1)
        except ResponseError as error:
            self._drop_wrong_type(self._keys.events, error, otherwise=None)
            return STREAM_START
        return StreamId(str(newest[0][0])) if newest else STREAM_START

    @translated
    def read(self, cursor: StreamId, *, count: int = 5000) -> EventBatch:
        """Return entries after ``cursor``, at most ``count``, without waiting; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xrange(self._keys.events, f"({cursor}", "+", count=count)
        pipeline.get(self._keys.epoch)
        pipeline.get(self._keys.trimmed)
        pipeline.time()
        entries, epoch, trimmed, clock = pipeline.execute(raise_on_error=False)
        was_dropped = isinstance(entries, Exception)
        entries = self._drop_wrong_type(self._keys.events, entries, otherwise=[])
        epoch = self._drop_wrong_type(self._keys.epoch, epoch, otherwise="")
        trimmed = self._drop_wrong_type(self._keys.trimmed, trimmed, otherwise="")
        events = []
        for stream_id, fields in entries:
            try:
                State(fields["state"])  # a newer release may write a state that is unknown here
                events.append(decode_event(stream_id, fields))
            except (KeyError, ValueError):
                log.warning("Ignored an entry of the events stream that is not an event: %s", stream_id)
        is_trimmed = self._is_after(trimmed, cursor)
        # Without entries, the gap would be found again and again until the next event.
        last = entries[-1][0] if entries else trimmed if is_trimmed else cursor
        return EventBatch(
            events=tuple(events),
            cursor=StreamId(last),
            has_gap=was_dropped or is_trimmed,
            epoch=epoch or "",
            is_full=len(entries) >= count,
            read_at=0 if isinstance(clock, Exception) else int(clock[0]) * 1000 + int(clock[1]) // 1000,
        )

    @translated
    def wait(self, cursor: StreamId, *, seconds: float) -> Woken:
        """Wait until there is an entry after ``cursor`` or somebody gives a hint.

        :param seconds: the longest wait. Less than the time in which Redis has to answer.
        """
        milliseconds = max(1, int(seconds * 1000))
        try:
            places: dict[Any, Any] = {self._keys.events: cursor, self._keys.hints: "$"}
            found: Any = self._client.xread(places, count=1, block=milliseconds)
        except ResponseError as error:
            if not is_wrong_type(error) and code_of(error) != "UNBLOCKED":
                raise
            if is_wrong_type(error) and self._client.type(self._keys.hints) not in ("stream", "none"):
                self._drop_wrong_type(self._keys.hints, error, otherwise=None)
            return Woken(has_events=True)
        by_key: dict[Key, Any] = dict(found or [])
        hinted = [fields.get("attempt", "") for _, fields in by_key.get(self._keys.hints, [])]
        return Woken(self._keys.events in by_key, tuple(map(AttemptId, hinted)))

    def _is_after(self, trimmed: str | None, cursor: StreamId) -> bool:
        """Return whether the mark of what was trimmed lies after a cursor."""
        try:
            return bool(trimmed) and stream_position(trimmed or "") > stream_position(cursor)
        except ValueError:
            self._client.delete(self._keys.trimmed)
            return True

    def _drop_wrong_type(self, key: Key, answer: T | Exception, *, otherwise: T) -> T:
        """Return an answer about a key that all attempts share. Where the key holds another type, delete it.

        The next writer creates it again, and the records are the truth.

        :raises redis.RedisError: the answer is any other error.
        """
        if not isinstance(answer, Exception):
            return answer
        if not is_wrong_type(answer):
            raise answer
        log.error("Deleted the Redis key %s, which held a value of another type: find out what writes it", key)
        self._client.delete(key)
        return otherwise

    @translated
    def trim(self, *, keep_entries: int, keep_seconds: float) -> int:
        """Delete entries older than ``keep_seconds``, except the newest ``keep_entries``; return how many."""
        call = calls.Trim(
            events_key=self._keys.events,
            trimmed_key=self._keys.trimmed,
            keep_entries=keep_entries,
            keep_milliseconds=int(keep_seconds * 1000),
        )
        return int(run_script(self._client, call))

    def begin_epoch(self, proposal: str) -> str:
        """Return the name of the epoch, ``proposal`` where a new one begins; see :meth:`present`."""
        return self.present(proposal).name

    @translated
    def present(self, proposal: str = "") -> Epoch:
        """Return the present epoch. A new one begins where there is none, or where Redis is another server now."""
        call = calls.Epoch(
            epoch_key=self._keys.epoch,
            home_key=self._keys.home,
            unsettled_key=self._keys.unsettled,
            proposal=proposal or uuid4().hex,
            epoch_seconds=KEPT_SECONDS,
            settling_seconds=SETTLING_SECONDS,
        )
        name, unsettled = run_script(self._client, call)
        return Epoch(str(name), int(unsettled))


@dataclass(frozen=True, kw_only=True)
class LaunchEntry:
    """One thing for a launcher to do: create (``op`` "launch") or delete ("delete") an attempt's pod.

    With ``op`` "withdraw", a pod is deleted that has not started: its attempt goes on to another target.
    """

    id: StreamId
    op: str
    attempt: AttemptId
    generation: int
    namespace: str = ""
    pod: str = ""


class LaunchStream:
    """Pods to create and to delete in one cluster. An entry is delivered until an outcome acknowledges it."""

    def __init__(self, client: redis.Redis, keys: Keys, *, cluster: str, consumer: str) -> None:
        self._client = client
        self._key = keys.launch(cluster)
        self._consumer = consumer
        self._claim_cursor: str = STREAM_START

    @translated
    def prepare(self) -> None:
        """Make stream and consumer group, from the stream's beginning, where they are missing."""
        try:
            self._client.xgroup_create(self._key, LAUNCH_GROUP, id=STREAM_START, mkstream=True)
        except ResponseError as error:
            if code_of(error) != "BUSYGROUP":
                raise

    @translated
    def take(self, *, count: int, wait_milliseconds: int) -> list[LaunchEntry]:
        """Return new entries for this consumer, waiting up to ``wait_milliseconds`` for the first."""
        try:
            answer = self._client.xreadgroup(
                LAUNCH_GROUP, self._consumer, {self._key: ">"}, count=count, block=wait_milliseconds or None
            )
        except ResponseError as error:
            if code_of(error) not in ("NOGROUP", "UNBLOCKED"):
                raise
            self.prepare()
            return []
        streams = answer.items() if isinstance(answer, Mapping) else answer or []
        return self._decode([entry for _, entries in streams for entry in _flat(entries)])

    @translated
    def take_over(self, *, idle_milliseconds: int, count: int = 100) -> list[LaunchEntry]:
        """Return entries that other consumers left unacknowledged for ``idle_milliseconds``, now this one's.

        Each call looks at one part and the next goes on from there, back to the beginning after the end, so that no
        entry is starved by the ones before it. An empty answer does not mean that there are none.
        """
        try:
            answer = self._client.xautoclaim(
                self._key,
                LAUNCH_GROUP,
                self._consumer,
                min_idle_time=idle_milliseconds,
                start_id=self._claim_cursor,
                count=count,
            )
        except ResponseError as error:
            if code_of(error) != "NOGROUP":
                raise
            self.prepare()
            return []
        self._claim_cursor = answer[0]
        return self._decode(answer[1])

    @property
    def take_over_is_complete(self) -> bool:
        """The last :meth:`take_over` reached the end."""
        return self._claim_cursor == STREAM_START

    @translated
    def renew(self, entries: Sequence[StreamId]) -> None:
        """Keep entries from being taken over: they are still being worked on. Does not count as a delivery."""
        self._claim(entries, idle_milliseconds=0)

    @translated
    def give_back(self, entries: Sequence[StreamId]) -> None:
        """Let other consumers take these entries over at once, as if this one had been silent for a day."""
        self._claim(entries, idle_milliseconds=_GIVEN_BACK_MILLISECONDS)

    def _claim(self, entries: Sequence[StreamId], *, idle_milliseconds: int) -> None:
        """Set since when entries of this consumer are idle. Those of a group that Redis has lost are no entries now."""
        try:
            for start in range(0, len(entries), _RENEWED_AT_ONCE):
                self._client.xclaim(
                    self._key,
                    LAUNCH_GROUP,
                    self._consumer,
                    min_idle_time=0,
                    message_ids=list(entries[start : start + _RENEWED_AT_ONCE]),
                    idle=idle_milliseconds,
                    justid=True,
                )
        except ResponseError as error:
            if code_of(error) != "NOGROUP":
                raise
            self.prepare()

    @translated
    def acknowledge(self, entry: StreamId) -> None:
        """Take an entry off the stream that needs no change of a record."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xack(self._key, LAUNCH_GROUP, entry)
        pipeline.xdel(self._key, entry)
        pipeline.execute()

    @translated
    def leave(self) -> None:
        """Remove this consumer from the group, unless it has entries that others have to take over."""
        run_script(self._client, calls.LeaveGroup(launch_key=self._key, consumer=self._consumer))

    @translated
    def forget_silent(self, *, seconds: float) -> int:
        """Delete consumers that hold no entry and have been silent for ``seconds``; return how many."""
        try:
            consumers = self._client.xinfo_consumers(self._key, LAUNCH_GROUP)
        except ResponseError:
            return 0  # there is no such stream or group yet
        gone = [item["name"] for item in consumers if not item["pending"] and item["idle"] > seconds * 1000]
        return sum(run_scripts(self._client, [calls.LeaveGroup(launch_key=self._key, consumer=name) for name in gone]))

    @translated
    def launches_waiting(self) -> set[AttemptId]:
        """Return the attempts that have a launch on the stream, waiting or being worked on. Costs as it is long."""
        entries, lost = self._read_all()
        return {
            AttemptId(fields["attempt"])
            for entry, fields in entries
            if fields.get("op") == "launch" and "attempt" in fields and entry not in lost
        }

    @translated
    def drop_lost(self) -> int:
        """Delete the entries that nobody has and nobody will get; return how many. Costs as the stream is long.

        Their agent was removed from the group while it had them.
        """
        _, lost = self._read_all()
        if lost:
            self._client.xdel(self._key, *lost)
        return len(lost)

    def _read_all(self) -> tuple[list[tuple[str, dict[str, str]]], set[str]]:
        """Return all entries, and the ids of those that were delivered and that no consumer has."""
        pipeline: Any = self._client.pipeline(transaction=True)
        pipeline.xrange(self._key)
        pipeline.xinfo_groups(self._key)
        pipeline.xpending_range(self._key, LAUNCH_GROUP, min="-", max="+", count=_ALL_ENTRIES)
        entries, groups, pending = pipeline.execute(raise_on_error=False)
        if isinstance(entries, Exception):
            raise entries
        if isinstance(groups, Exception) or isinstance(pending, Exception):
            return entries, set()  # there is no such stream or group yet
        given = next(str(group["last-delivered-id"]) for group in groups if group["name"] == LAUNCH_GROUP)
        held = {str(item["message_id"]) for item in pending}
        last = stream_position(given)
        return entries, {entry for entry, _ in entries if entry not in held and stream_position(entry) <= last}

    @translated
    def put_again(self, attempt: AttemptId, *, generation: int) -> None:
        """Put a launch whose entry was lost on the stream again. A duplicate is harmless: only one can succeed."""
        self._client.xadd(self._key, {"op": "launch", "attempt": attempt, "generation": str(generation)})

    def _decode(self, entries: Sequence[tuple[str, Mapping[str, str] | None]]) -> list[LaunchEntry]:
        decoded = []
        for stream_id, fields in entries:
            try:
                if not fields:
                    raise KeyError("op")
                decoded.append(
                    LaunchEntry(
                        id=StreamId(stream_id),
                        op=fields["op"],
                        attempt=AttemptId(fields["attempt"]),
                        generation=int(fields["generation"]),
                        namespace=fields.get("namespace", ""),
                        pod=fields.get("pod", ""),
                    )
                )
            except (KeyError, ValueError):
                log.warning("Deleted an entry of %s that is not a launch: %s", self._key, stream_id)
                self.acknowledge(StreamId(stream_id))
        return decoded


def _flat(entries: Sequence[object]) -> Sequence[tuple[str, Mapping[str, str] | None]]:
    """Return entries as pairs; RESP3 wraps them in one more list."""
    if entries and isinstance(entries[0], list) and entries[0] and not isinstance(entries[0][0], str):
        return entries[0]
    return entries  # type: ignore[return-value]
