"""From a workload to a record, a message or a launch: everything of one heartbeat in one write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from hybrid_executor import compat
from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk, RecordedPool
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.hiding import hide_secrets, traceback_of
from hybrid_executor.pools.work import SENT_FIELD, Work
from hybrid_executor.states import State
from hybrid_executor.store import Submission

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refused:
    """A workload that cannot be run as it is described."""

    key: Hashable
    reason: str


@dataclass(frozen=True)
class Accepted:
    """A workload that is on its way. ``is_new_id``: Airflow does not know its attempt id yet."""

    tracked: Tracked
    work: Work
    is_new_id: bool


class Submitter:
    """Prepares and submits workloads. Attempt ids that had to be made stay the same when a write is repeated."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._made_ids: dict[Hashable, AttemptId] = {}
        self._unsent: list[Work] = []

    def submit(self, workloads: Sequence[Any], on_refused: Callable[[Refused], None]) -> list[Accepted]:
        """Submit workloads in one round trip; return those that are recorded.

        A workload that cannot be prepared goes to ``on_refused`` and harms no other. Safe to repeat after
        StoreUnavailable: what was recorded the first time is recognised.
        """
        prepared: list[tuple[Submission, Accepted]] = []
        for workload in workloads:
            key = compat.key_of(workload)
            try:
                prepared.append(self._prepare(workload, key))
            except TaskRejected as error:
                on_refused(Refused(key, str(error)))
            except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
                log.error("A workload could not be prepared and fails alone: %s\n%s", key, traceback_of(error))
                words = hide_secrets(f"{type(error).__name__}: {error}")
                on_refused(Refused(key, f"The task could not be submitted: {words}"))
        if not prepared:
            return []
        with self._desk.outage.watch():
            generations = self._desk.store.attempts.submit([submission for submission, _ in prepared])
            known = [
                accepted for (_, accepted), generation in zip(prepared, generations, strict=True) if not generation
            ]
            records = self._desk.store.attempts.records([accepted.tracked.attempt for accepted in known])
        for accepted, record in zip(known, records, strict=True):
            if record is not None:
                accepted.tracked.generation, accepted.tracked.state = record.generation, record.state
        for (_, accepted), generation in zip(prepared, generations, strict=True):
            accepted.tracked.generation = generation or accepted.tracked.generation
            self._made_ids.pop(accepted.tracked.key, None)
        self._unsent += [accepted.work for _, accepted in prepared]
        self.publish_unsent()
        return [accepted for _, accepted in prepared]

    def publish_unsent(self) -> None:
        """Send the messages of recorded work to a broker of its own; what it does not take waits for the next time."""
        unsent, self._unsent = self._unsent, []
        for pool in self._desk.pools.values():
            batch = [work for work in unsent if self._desk.pool_of(work) is pool]
            self._unsent += publish(self._desk, pool, batch)

    def _prepare(self, workload: Any, key: Hashable) -> tuple[Submission, Accepted]:
        given = compat.pre_assigned_id(workload)
        attempt = AttemptId(given) if given else self._made_ids.setdefault(key, AttemptId(str(uuid4())))
        work = make_work(self._desk, workload, attempt=attempt)
        submission = self._desk.pool_of(work).prepare(work)
        tracked = Tracked(
            attempt=attempt,
            key=key,
            kind=compat.kind_of(workload),
            task_id=str(submission.fields["key"]),
            pool=submission.pool,
            queue=str(submission.fields["queue"]),
            state=State.SUBMITTED,
            generation=0,
            since=time.monotonic(),
        )
        return submission, Accepted(tracked, work, is_new_id=not given)


def make_work(desk: Desk, workload: Any, *, attempt: AttemptId, expected_generation: int = 0) -> Work:
    """Return ``workload`` with the route of its queue."""
    queue = compat.queue_of(workload, default_queue=desk.default_queue)
    fields = compat.describe(workload)
    return Work(
        attempt=attempt,
        owner=desk.owner,
        kind=compat.kind_of(workload),
        key=str(fields["key"]),
        queue=queue,
        workload_json=workload.model_dump_json(),
        executor_config=compat.executor_config_of(workload),
        profile=desk.settings.profile_of(desk.settings.routes.find(queue)),
        fields=fields,
        expected_generation=expected_generation,
    )


def publish(desk: Desk, pool: RecordedPool, batch: Sequence[Work]) -> list[Work]:
    """Send the messages of recorded work where the pool has a broker of its own; return what it did not take.

    What it took is marked in the record, so that an adopter can tell what was never sent.
    """
    if not batch or not pool.has_own_broker:
        return []
    unsent = pool.publish(batch)
    missed = {work.attempt for work in unsent}
    desk.store.attempts.annotate({work.attempt: {SENT_FIELD: "1"} for work in batch if work.attempt not in missed})
    return unsent
