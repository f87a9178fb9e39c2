"""From a workload to a record, a message or a launch: everything of one heartbeat in one write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable, TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk, RecordedPool
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.hiding import hide_secrets, traceback_of
from hybrid_executor.pools.work import SENT_FIELD, Work
from hybrid_executor.states import State
from hybrid_executor.store import Submission

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload, Workload, WorkloadKey

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refused:
    """A workload that cannot be run as it is described."""

    key: WorkloadKey
    reason: str
    workload_run_id: str = ""


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
        self._refused: list[tuple[Work, str]] = []

    def submit(self, workloads: Sequence[AirflowWorkload], on_refused: Callable[[Refused], None]) -> list[Accepted]:
        """Submit workloads in one round trip; return those that are recorded.

        A workload that cannot be prepared goes to ``on_refused`` and harms no other. Safe to repeat after
        StoreUnavailable: what was recorded the first time is recognised.
        """
        prepared: list[tuple[Submission, Accepted]] = []
        for workload in workloads:
            key, workload_run_id = compat.key_of(workload), ""
            try:
                read = compat.read_workload(workload)
                workload_run_id = read.workload_run_id
                prepared.append(self._prepare(read))
            except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
                self._refuse(Refused(key, why_not(error, key), workload_run_id), on_refused)
        if not prepared:
            return []
        with self._desk.outage.watch():
            attempts = self._desk.store.attempts
            generations = attempts.submit([submission for submission, _ in prepared])
            known = [accepted for (_, accepted), answer in zip(prepared, generations, strict=True) if not answer]
            records = attempts.records([accepted.tracked.attempt for accepted in known])
        for accepted, record in zip(known, records, strict=True):
            if record is not None:
                accepted.tracked.generation, accepted.tracked.state = record.generation, record.state
        taken: list[Accepted] = []
        for (submission, accepted), generation in zip(prepared, generations, strict=True):
            if generation < 0:
                reason = attempts.explain(submission, generation)
                self._refuse(Refused(accepted.tracked.key, reason, accepted.tracked.workload_run_id), on_refused)
                continue
            accepted.tracked.generation = generation or accepted.tracked.generation
            taken.append(accepted)
        # From here on nothing may raise: what is recorded counts as taken, or a callback would be recorded again.
        for accepted in taken:
            self._made_ids.pop(accepted.tracked.key, None)
            if self._desk.pool_of(accepted.work).has_own_broker:
                self._unsent.append(accepted.work)
        try:
            self.publish_unsent()
        except StoreUnavailable as error:
            log.info("Which messages were sent cannot be noted now, and they are sent once more: %s", error)
        return taken

    def _refuse(self, refused: Refused, on_refused: Callable[[Refused], None]) -> None:
        self._made_ids.pop(refused.key, None)
        on_refused(refused)

    def publish_unsent(self) -> None:
        """Send the messages of recorded work to a broker of its own; what it does not take waits for the next time.

        :raises StoreUnavailable: what was sent could not be noted; it is sent again, which the claim makes harmless.
        """
        for pool in self._desk.pools.values():
            self._refused += pool.take_refused()
            batch = [work for work in self._unsent if self._desk.pool_of(work) is pool]
            waiting = {work.attempt for work in publish(self._desk, pool, batch)}
            done = {work.attempt for work in batch} - waiting
            self._unsent = [work for work in self._unsent if work.attempt not in done]

    def fail_refused(self) -> None:
        """End the attempts whose message the broker will never take; call it when accepted work is in the ledger.

        :raises StoreUnavailable: Redis could not be asked; they wait.
        """
        for pool in self._desk.pools.values():
            self._refused += pool.take_refused()
        while self._refused:
            work, reason = self._refused[0]
            tracked = self._desk.ledger.get(work.attempt)
            if tracked is not None:
                self._desk.fail(tracked, reason)
            self._refused.pop(0)

    def _prepare(self, workload: Workload) -> tuple[Submission, Accepted]:
        given, key = workload.pre_assigned_id, workload.key
        attempt = AttemptId(given) if given else self._made_ids.setdefault(key, AttemptId(str(uuid4())))
        work = make_work(self._desk, workload, attempt=attempt)
        submission = self._desk.pool_of(work).prepare(work)
        tracked = Tracked(
            attempt=attempt,
            key=key,
            kind=workload.kind,
            task_id=workload.id,
            pool=submission.pool,
            queue=str(submission.fields["queue"]),
            state=State.SUBMITTED,
            generation=0,
            since=time.monotonic(),
            workload_run_id=workload.workload_run_id,
        )
        return submission, Accepted(tracked, work, is_new_id=not given)


def why_not(error: Exception, subject: object) -> str:
    """Return in words why one workload cannot be submitted; what nobody thought of is logged with its traceback."""
    if isinstance(error, TaskRejected):
        return str(error)
    log.error("A workload could not be prepared and fails alone: %s\n%s", subject, traceback_of(error))
    return f"The task could not be submitted: {hide_secrets(f'{type(error).__name__}: {error}')}"


def make_work(desk: Desk, workload: Workload, *, attempt: AttemptId, expected_generation: int = 0) -> Work:
    """Return ``workload`` with the route of its queue."""
    queue = workload.queue or desk.default_queue
    return Work(
        attempt=attempt,
        owner=desk.owner,
        kind=workload.kind,
        key=workload.id,
        queue=queue,
        workload_json=workload.airflow.model_dump_json(),
        executor_config=workload.executor_config,
        profile=desk.settings.profile_of(desk.settings.routes.find(queue)),
        fields=workload.fields,
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
