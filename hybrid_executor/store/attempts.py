"""Attempts: submit, claim, advance, adopt, read. Every change is one script, safe to send twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State, sources_of
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.records import Record, parse_record
from hybrid_executor.store.scripts import Argument, Call, run_script, run_scripts
from hybrid_executor.store.translation import translated

LAUNCH_GROUP = "launchers"
_BATCH = 200


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One attempt to record as submitted, with what its pool needs.

    :ivar fields: the record's identity and routing (dag_id, task_id, queue, ...).
    :ivar expected_generation: 0 for a new attempt; the record's generation to submit a known, live one again.
    :ivar cluster: the Kubernetes cluster whose launch stream gets an entry, "" for none.
    :ivar queue_key, message: a broker list on this same Redis and the message to push there, "" for none.
    :ivar payload: the workload JSON; it holds a token.
    :ivar overrides: executor_config as JSON, "" for none; it may hold secrets.
    """

    attempt: AttemptId
    owner: OwnerId
    pool: str
    fields: Mapping[str, str | int]
    payload: str = field(repr=False)
    expected_generation: int = 0
    overrides: str = field(default="", repr=False)
    cluster: str = ""
    queue_key: str = ""
    message: str = field(default="", repr=False)


class Outcome(IntEnum):
    """What became of a change."""

    CHANGED = 1
    ILLEGAL = 0
    MISSING = -1
    STALE = -2


@dataclass(frozen=True)
class LaunchAck:
    """The launch-stream entry that a change acknowledges and deletes, whatever its outcome."""

    cluster: str
    entry_id: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of state.

    :ivar generation: the generation the record must have; ``None`` for any.
    :ivar sources: states it may come from; by default all that the state may follow.
    :ivar raises_generation: whether holders of the present generation lose.
    :ivar relaunch: put the attempt on its cluster's launch stream again (only with ``to=SUBMITTED``).
    :ivar delete_pod: ask the cluster's agents to delete the record's pod.
    :ivar fields: record fields to write; ``holder`` and ``reason`` also travel in the event.
    """

    attempt: AttemptId
    to: State
    generation: int | None = None
    sources: tuple[State, ...] | None = None
    raises_generation: bool = False
    relaunch: bool = False
    delete_pod: bool = False
    fields: Mapping[str, str | int] = field(default_factory=dict)
    ack: LaunchAck | None = None


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """A live attempt whose record Redis lost, as its owner remembers it."""

    attempt: AttemptId
    owner: OwnerId
    pool: str
    state: State
    generation: int
    fields: Mapping[str, str | int]


@dataclass(frozen=True)
class Claim:
    """The answer to a change or claim: what happened, and how the record stands now."""

    outcome: Outcome
    state: str
    generation: int
    holder: str

    @property
    def is_granted(self) -> bool:
        """The change was made."""
        return self.outcome is Outcome.CHANGED


class Attempts:
    """Access to the attempts of one instance.

    :param retention_seconds: how long the record of an ended attempt is kept.
    :param payload_seconds: how long a workload may wait; its token lives no longer.
    :param live_seconds: how long a record that nobody touches is kept while its attempt lives.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        retention_seconds: int,
        payload_seconds: int,
        live_seconds: int = 30 * 86400,
    ) -> None:
        self._client = client
        self._keys = keys
        self._retention_seconds = retention_seconds
        self._payload_seconds = payload_seconds
        self._live_seconds = live_seconds

    @translated
    def submit(self, submissions: Sequence[Submission]) -> list[int]:
        """Record attempts as submitted, with payload, message or launch entry, and event; one round trip.

        :return: each attempt's new generation, 0 where its record was not as expected and nothing was done.
        """
        calls = [
            ("submit", self._submit_call(submissions[start : start + _BATCH]))
            for start in range(0, len(submissions), _BATCH)
        ]
        return [int(generation) for answer in run_scripts(self._client, calls) for generation in answer]

    def _submit_call(self, submissions: Sequence[Submission]) -> Call:
        queues: dict[str, int] = {}
        arguments: list[Argument] = [
            self._keys.prefix,
            self._payload_seconds,
            self._live_seconds,
        ]
        for item in submissions:
            queue = queues.setdefault(item.queue_key, len(queues) + 2) if item.queue_key else 0
            # One text for all fields: packing an argument costs the client more than parsing it costs the server.
            fields = json.dumps([str(text) for pair in item.fields.items() for text in pair])
            arguments += [
                item.attempt,
                item.owner,
                item.pool,
                item.expected_generation,
                item.cluster,
                queue,
                item.message,
                item.payload,
                item.overrides,
                fields,
            ]
        return [self._keys.events, *queues], arguments

    @translated
    def claim(
        self,
        attempt: AttemptId,
        *,
        worker: str,
        token: str = "",
        owner: OwnerId = OwnerId(""),
        pool: str = "celery",
        fields: Mapping[str, str | int] | None = None,
    ) -> Claim:
        """Take a submitted attempt for ``worker``; a missing record is written anew from ``fields``.

        Refused where the attempt runs, ended or was revoked: whoever asks must drop its message and do nothing else.

        :param token: names this one run, so that a claim whose answer was lost can be asked again; the record keeps it
            as ``claim_token``.
        """
        texts = [text for pair in (fields or {}).items() for text in pair]
        arguments = [self._keys.prefix, attempt, worker, owner, pool, self._live_seconds, token, *texts]
        answer = run_script(self._client, "claim", ([self._keys.attempt(attempt), self._keys.events], arguments))
        return _claim_of(answer)

    def advance(self, change: Change) -> Claim:
        """Make one change; see :meth:`advance_all`."""
        return self.advance_all([change])[0]

    @translated
    def advance_all(self, changes: Sequence[Change]) -> list[Claim]:
        """Make changes in one round trip, each by itself; a repeated one answers ILLEGAL and does nothing."""
        return [
            _claim_of(answer)
            for answer in run_scripts(self._client, [("advance", self._advance_call(c)) for c in changes])
        ]

    def _advance_call(self, change: Change) -> Call:
        sources = change.sources if change.sources is not None else sources_of(change.to)
        operation = "launch" if change.relaunch else "delete" if change.delete_pod else ""
        return (
            [self._keys.attempt(change.attempt), self._keys.events],
            [
                self._keys.prefix,
                change.attempt,
                change.to.value,
                "," + ",".join(source.value for source in sources) + ",",
                "" if change.generation is None else change.generation,
                int(change.raises_generation or change.relaunch),
                int(change.to.is_terminal),
                int(change.to.is_started),
                self._retention_seconds,
                self._live_seconds,
                operation,
                f"{LAUNCH_GROUP}|{change.ack.cluster}" if change.ack else "",
                change.ack.entry_id if change.ack else "",
                *(text for pair in change.fields.items() for text in pair),
            ],
        )

    def revoke(self, attempts: Iterable[AttemptId], *, reason: str) -> list[Claim]:
        """Make sure that attempts will not start; pods that exist already are deleted by an agent.

        One that runs on a worker is marked revoked too: its end will be ignored.
        """
        return self.advance_all(
            [
                Change(
                    attempt=attempt,
                    to=State.REVOKED,
                    raises_generation=True,
                    delete_pod=True,
                    fields={"reason": reason},
                )
                for attempt in attempts
            ]
        )

    @translated
    def remove_message(self, queue_key: str, message: str) -> bool:
        """Take a message off a broker list on this Redis; return whether it was there. Costs as the list is long."""
        return bool(self._client.lrem(queue_key, 1, message))

    @translated
    def queue_length(self, queue_key: str) -> int:
        """Return how many messages a broker list on this Redis holds."""
        return int(self._client.llen(queue_key))

    @translated
    def next_message(self, queue_key: str) -> str:
        """Return the message that a broker list on this Redis hands out next, "" for none. It holds a token."""
        return str(self._client.lindex(queue_key, -1) or "")

    @translated
    def any_waiting(self, queue_keys: Iterable[str]) -> bool:
        """Return whether any of these broker lists on this Redis holds a message; one round trip."""
        return bool(self._client.exists(*keys)) if (keys := list(queue_keys)) else False

    @translated
    def adopt(self, attempts: Sequence[AttemptId], *, owner: OwnerId) -> list[Record | None]:
        """Make ``owner`` answer for attempts; return how each stands, ``None`` where there is no record."""
        calls: list[tuple[str, Call]] = [
            ("adopt", ([self._keys.attempt(attempt)], [self._keys.prefix, attempt, owner])) for attempt in attempts
        ]
        return [parse_record(_pairs(answer)) for answer in run_scripts(self._client, calls)]

    @translated
    def restore(self, restorations: Sequence[Restoration]) -> None:
        """Write lost records anew; one that exists by now stays as it is."""
        run_scripts(
            self._client,
            [
                (
                    "restore",
                    (
                        [self._keys.attempt(item.attempt), self._keys.events],
                        [
                            self._keys.prefix,
                            item.attempt,
                            item.owner,
                            item.pool,
                            item.state.value,
                            item.generation,
                            self._live_seconds,
                            *(text for pair in item.fields.items() for text in pair),
                        ],
                    ),
                )
                for item in restorations
            ],
        )

    @translated
    def records(self, attempts: Sequence[AttemptId]) -> list[Record | None]:
        """Return records, ``None`` where there is none; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for attempt in attempts:
            pipeline.hgetall(self._keys.attempt(attempt))
        return [parse_record(fields) for fields in pipeline.execute()]

    def workload(self, attempt: AttemptId) -> tuple[Record | None, str, str]:
        """Return record, payload and overrides of one attempt; "" for what is gone. Never log the texts."""
        return self.workloads([attempt])[0]

    @translated
    def workloads(self, attempts: Sequence[AttemptId]) -> list[tuple[Record | None, str, str]]:
        """Return what :meth:`workload` does for many attempts; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for attempt in attempts:
            pipeline.hgetall(self._keys.attempt(attempt))
            pipeline.get(self._keys.payload(attempt))
            pipeline.get(self._keys.overrides(attempt))
        answers = pipeline.execute()
        return [
            (parse_record(answers[index]), answers[index + 1] or "", answers[index + 2] or "")
            for index in range(0, len(answers), 3)
        ]

    @translated
    def standings(self, attempts: Sequence[AttemptId]) -> list[tuple[str, int, bool]]:
        """Return state ("" for no record), generation and whether there is a payload; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for attempt in attempts:
            pipeline.hmget(self._keys.attempt(attempt), ["state", "generation"])
            pipeline.exists(self._keys.payload(attempt))
        answers = pipeline.execute() if attempts else []
        return [
            (answers[index][0] or "", int(answers[index][1] or 0), bool(answers[index + 1]))
            for index in range(0, len(answers), 2)
        ]

    @translated
    def annotate(self, notes: Mapping[AttemptId, Mapping[str, str]]) -> None:
        """Write fields of live records that are no change of state (``note``, ``received_by``); makes no event."""
        run_scripts(
            self._client,
            [
                (
                    "annotate",
                    ([self._keys.attempt(attempt)], [text for pair in fields.items() for text in pair]),
                )
                for attempt, fields in notes.items()
            ],
        )

    @translated
    def owned_by(self, owner: OwnerId) -> set[AttemptId]:
        """Return the live attempts of a scheduler job."""
        return {AttemptId(str(member)) for member in self._client.smembers(self._keys.owner(owner))}

    @translated
    def live(self, pool: str) -> set[AttemptId]:
        """Return the live attempts of a pool."""
        return {AttemptId(str(member)) for member in self._client.smembers(self._keys.live(pool))}

    @translated
    def forget_ended(self, attempts: Iterable[AttemptId], *, owner: OwnerId) -> None:
        """Drop from the owner's set what has no live record of this owner any more."""
        calls: list[tuple[str, Call]] = [
            ("forget", ([self._keys.attempt(attempt), self._keys.owner(owner)], [attempt, owner]))
            for attempt in attempts
        ]
        run_scripts(self._client, calls)

    @translated
    def forget(self, attempts: Iterable[AttemptId], *, owner: OwnerId, pool: str) -> None:
        """Drop members of the owner's and the pool's set whose record has expired."""
        members = list(attempts)
        if members:
            self._client.srem(self._keys.owner(owner), *members)
            self._client.srem(self._keys.live(pool), *members)


def _claim_of(answer: Sequence[str | int]) -> Claim:
    code, state, generation, holder = answer
    return Claim(Outcome(int(code)), str(state), int(generation), str(holder))


def _pairs(answer: Sequence[str]) -> dict[str, str]:
    return dict(zip(answer[::2], answer[1::2], strict=True))
