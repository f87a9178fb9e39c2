"""Attempts: submit, claim, advance, adopt, read. Every change is one script, safe to send twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import cast
from uuid import uuid4

import redis

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import TERMINAL_STATES, State, sources_of
from hybrid_executor.store.changes import FULL, Change, Claim, Outcome, Restoration, Submission
from hybrid_executor.store.epochs import KEPT_SECONDS, SETTLING_SECONDS
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.records import Record, parse_record, unreadable_record
from hybrid_executor.store.scripts import calls, run_as_made, run_script, run_scripts
from hybrid_executor.store.submit_call import submit_call
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import WrongType, checked_answers, is_wrong_type, words_for

_BATCH = 200


class Attempts:
    """Access to the attempts of one instance.

    :param retention_seconds: how long the record of an ended attempt is kept.
    :param payload_seconds: how long a workload may wait; its token lives no longer.
    :param live_seconds: how long the record of a live attempt is kept after its last change.
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
    def submit(self, submissions: Iterable[Submission]) -> list[int]:
        """Record attempts as submitted, with payload, message or launch entry, and event; one round trip.

        :param submissions: taken one by one: while they are made, the server works on those before them.
        :return: each attempt's new generation, 0 where its record was not as expected and nothing was done. Where a key
            that it needs holds a value of another type, a number of :class:`WrongType`; see :meth:`explain`. Where its
            target has no room, :data:`~hybrid_executor.store.changes.FULL`.
        """
        each = iter(submissions)
        first = list(islice(each, _BATCH))
        if len(first) < _BATCH:
            answers = run_scripts(self._client, [self._submit_call(first)] if first else [])
        else:
            others = iter(lambda: list(islice(each, _BATCH)), [])
            answers = run_as_made(self._client, map(self._submit_call, chain([first], others)))
        return [int(generation) for answer in answers for generation in answer]

    def _submit_call(self, batch: Sequence[Submission]) -> calls.Submit:
        return submit_call(self._keys, batch, payload_seconds=self._payload_seconds, live_seconds=self._live_seconds)

    def explain(self, submission: Submission, answer: int) -> str:
        """Return in words why :meth:`submit` answered a :class:`WrongType`, "" for every other answer."""
        if answer >= 0 or answer == FULL:
            return ""
        wrong_type = WrongType(answer)
        keys = {
            WrongType.RECORD: self._keys.attempt(submission.attempt),
            WrongType.QUEUE: submission.queue_key,
            WrongType.LAUNCHES: self._keys.launch(submission.cluster),
        }
        return words_for(wrong_type, keys[wrong_type])

    @translated
    def claim(
        self,
        attempt: AttemptId,
        *,
        worker: str,
        token: str = "",
        owner: OwnerId = OwnerId(""),
        pool: str = "celery",
        sent_generation: int | None = None,
        fields: Mapping[str, str | int] | None = None,
    ) -> Claim:
        """Take a submitted attempt for ``worker``; a missing record is written again from ``fields``.

        Refused where the attempt runs, has ended, was revoked or has gone on to another target: the caller must drop
        its message and do nothing else.

        :param pool: for which the message was sent. :param sent_generation: for which generation, if it says so.
        :param token: names this one run, so that a claim whose answer was lost can be asked again; the record keeps it
            as ``claim_token``.
        :raises StoreUnavailable: also where Redis may have fallen back to older data a moment ago: it may have run.
        """
        call = calls.Claim(
            attempt_key=self._keys.attempt(attempt),
            events_key=self._keys.events,
            payload_key=self._keys.payload(attempt),
            overrides_key=self._keys.overrides(attempt),
            live_key=self._keys.live(pool),
            epoch_key=self._keys.epoch,
            home_key=self._keys.home,
            unsettled_key=self._keys.unsettled,
            owner_key=self._keys.owner(owner) if owner else None,
            id=attempt,
            worker=worker,
            owner=owner,
            pool=pool,
            sent_generation=sent_generation,
            live_seconds=self._live_seconds,
            token=token,
            proposal=uuid4().hex,
            epoch_seconds=KEPT_SECONDS,
            settling_seconds=SETTLING_SECONDS,
            fields=_flat(fields or {}),
        )
        claim = _claim_of(run_script(self._client, call))
        if claim.outcome is Outcome.NOT_YET:
            raise StoreUnavailable(
                f"the Redis server was replaced or restarted; attempts that were submitted before start "
                f"{SETTLING_SECONDS} s later, when it is known which of them have run already"
            )
        return claim

    def advance(self, change: Change) -> Claim:
        """Make one change; see :meth:`advance_all`."""
        return self.advance_all([change])[0]

    @translated
    def advance_all(self, changes: Sequence[Change]) -> list[Claim]:
        """Make changes in one round trip, each by itself; a repeated one answers ILLEGAL and does nothing.

        Where a key of one attempt holds a value of another type, its change answers UNREADABLE; the others are made.
        """
        answers = run_scripts(self._client, [self._advance_call(change) for change in changes])
        return [_claim_of(answer) for answer in answers]

    def _advance_call(self, change: Change) -> calls.Advance:
        return calls.Advance(
            attempt_key=self._keys.attempt(change.attempt),
            events_key=self._keys.events,
            payload_key=self._keys.payload(change.attempt),
            overrides_key=self._keys.overrides(change.attempt),
            acknowledged_key=self._keys.launch(change.ack.cluster) if change.ack else None,
            prefix=self._keys.prefix,
            id=change.attempt,
            to=change.to.value,
            sources=change.sources if change.sources is not None else sources_of(change.to),
            generation=change.generation,
            raises_generation=change.raises_generation or change.relaunch,
            may_park=change.may_park,
            is_terminal=change.to.is_terminal,
            is_started=change.to.is_started,
            kept_seconds=self._retention_seconds if change.to.is_terminal else self._live_seconds,
            live_seconds=self._live_seconds,
            operation="launch" if change.relaunch else "delete" if change.delete_pod else "",
            acknowledged_id=change.ack.entry_id if change.ack else "",
            only_pod=change.only_pod,
            needs_workload=change.needs_workload,
            fields=_flat(change.fields),
        )

    def revoke(self, attempts: Iterable[AttemptId], *, reason: str, category: str = "") -> list[Claim]:
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
                    fields={"reason": reason, **({"category": category} if category else {})},
                )
                for attempt in attempts
            ]
        )

    @translated
    def adopt(self, attempts: Sequence[AttemptId], *, owner: OwnerId) -> list[Record | None]:
        """Make ``owner`` answer for attempts; return how each stands, ``None`` where there is no record."""
        adoptions = [
            calls.Adopt(
                attempt_key=self._keys.attempt(attempt),
                owner_key=self._keys.owner(owner),
                prefix=self._keys.prefix,
                id=attempt,
                owner=owner,
                live_seconds=self._live_seconds,
                terminal=TERMINAL_STATES,
            )
            for attempt in attempts
        ]
        answers = run_scripts(self._client, adoptions)
        return [
            self._unreadable(attempt) if isinstance(answer, int) else parse_record(_pairs(json.loads(answer or "[]")))
            for attempt, answer in zip(attempts, answers, strict=True)
        ]

    @translated
    def restore(self, restorations: Sequence[Restoration]) -> None:
        """Write lost records again. One that exists by now stays as it is, unless it is older and is to be replaced."""
        run_scripts(
            self._client,
            [
                calls.Restore(
                    attempt_key=self._keys.attempt(item.attempt),
                    events_key=self._keys.events,
                    owner_key=self._keys.owner(item.owner),
                    live_key=self._keys.live(item.pool),
                    prefix=self._keys.prefix,
                    id=item.attempt,
                    owner=item.owner,
                    pool=item.pool,
                    state=item.state.value,
                    generation=item.generation,
                    live_seconds=self._live_seconds,
                    replaces_older=item.replaces_older,
                    fields=_flat(item.fields),
                )
                for item in restorations
            ],
        )

    @translated
    def records(self, attempts: Sequence[AttemptId]) -> list[Record | None]:
        """Return records, ``None`` where there is none; one round trip.

        Where the key of one holds a value of another type, its ``trouble`` says so; the others are read.
        """
        pipeline = self._client.pipeline(transaction=False)
        for attempt in attempts:
            pipeline.hgetall(self._keys.attempt(attempt))
        answers = checked_answers(pipeline.execute(raise_on_error=False))
        return [self._parse(attempt, answer) for attempt, answer in zip(attempts, answers, strict=True)]

    def _parse(self, attempt: AttemptId, answer: object) -> Record | None:
        return (
            self._unreadable(attempt) if isinstance(answer, Exception) else parse_record(cast("dict[str, str]", answer))
        )

    def _unreadable(self, attempt: AttemptId) -> Record:
        return unreadable_record(attempt, words_for(WrongType.RECORD, self._keys.attempt(attempt)))

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
        answers = checked_answers(pipeline.execute(raise_on_error=False))
        return [
            (self._parse(attempt, answers[3 * index]), _text(answers[3 * index + 1]), _text(answers[3 * index + 2]))
            for index, attempt in enumerate(attempts)
        ]

    @translated
    def standings(self, attempts: Sequence[AttemptId]) -> list[tuple[str, int, str, bool]]:
        """Return state ("" for no record), generation, ``leaving`` and whether there is a payload; one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for attempt in attempts:
            pipeline.hmget(self._keys.attempt(attempt), ["state", "generation", "leaving"])
            pipeline.exists(self._keys.payload(attempt))
        answers = pipeline.execute() if attempts else []
        return [
            (answers[index][0] or "", int(answers[index][1] or 0), answers[index][2] or "", bool(answers[index + 1]))
            for index in range(0, len(answers), 2)
        ]

    @translated
    def annotate(self, notes: Mapping[AttemptId, Mapping[str, str]]) -> None:
        """Write fields of live records that are no change of state (``note``, ``received_by``); makes no event."""
        run_scripts(
            self._client,
            [
                calls.Annotate(attempt_key=self._keys.attempt(attempt), fields=_flat(fields))
                for attempt, fields in notes.items()
            ],
        )

    @translated
    def owned_by(self, owner: OwnerId) -> set[AttemptId]:
        """Return the live attempts of a scheduler job."""
        return self._members(self._keys.owner(owner))

    @translated
    def live(self, pool: str) -> set[AttemptId]:
        """Return the live attempts of a pool."""
        return self._members(self._keys.live(pool))

    def _members(self, key: str) -> set[AttemptId]:
        """Return the members of an index; none where the key holds another type, which the next writer deletes."""
        try:
            return {AttemptId(str(member)) for member in self._client.smembers(key)}
        except redis.ResponseError as error:
            if is_wrong_type(error):
                return set()
            raise

    @translated
    def forget_ended(self, attempts: Iterable[AttemptId], *, owner: OwnerId) -> None:
        """Drop from the owner's set what has no live record of this owner any more."""
        run_scripts(
            self._client,
            [
                calls.Forget(
                    attempt_key=self._keys.attempt(attempt),
                    owner_key=self._keys.owner(owner),
                    id=attempt,
                    owner=owner,
                    terminal=TERMINAL_STATES,
                )
                for attempt in attempts
            ],
        )

    @translated
    def sweep(self, pool: str, *, cursor: int = 0, count: int = 500) -> int:
        """Drop attempts from a pool's set that have ended, expired or moved on, ``count`` or so at a time.

        :return: the cursor of the next call, 0 after the last part of the set.
        """
        call = calls.Sweep(
            live_key=self._keys.live(pool),
            prefix=self._keys.prefix,
            pool=pool,
            cursor=str(cursor),
            size=count,
            terminal=TERMINAL_STATES,
        )
        return int(run_script(self._client, call))


def _flat(fields: Mapping[str, str | int]) -> calls.Texts:
    """Return fields as field, value, ..."""
    return tuple(text for pair in fields.items() for text in pair)


def _claim_of(answer: Sequence[str | int]) -> Claim:
    code, state, generation, holder = answer
    return Claim(Outcome(int(code)), str(state), int(generation), str(holder))


def _text(answer: object) -> str:
    """Return a text, "" for one that is gone or no text."""
    return answer if isinstance(answer, str) else ""


def _pairs(answer: Sequence[str]) -> dict[str, str]:
    return dict(zip(answer[::2], answer[1::2], strict=True))
