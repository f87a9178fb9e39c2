"""What only the owner of attempts can mend, on a timer: missed events, lost holders, lost messages, lost data.

Level-triggered: looks at records and at Airflow's database, in bulk, and never concludes anything from silence alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from hybrid_executor import compat
from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.intake import Intake
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.submission import make_work, publish
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Restoration, Submission

log = logging.getLogger(__name__)

_UNSENT_AFTER_SECONDS = 30.0
_LAUNCHES_ON_WORKERS = 3
_WAITS = ("queued", "scheduled")


class Repair:
    """The owner's repairs. Each step may be repeated at any time."""

    def __init__(self, desk: Desk, intake: Intake, *, pod_launch_retries: int) -> None:
        self._desk = desk
        self._intake = intake
        self._pod_launch_retries = pod_launch_retries

    def run(self) -> None:
        """Do all of them once."""
        self.reconcile()
        self.find_lost_workers()
        self.decide_lost()
        self.find_unsent()

    def reconcile(self) -> None:
        """Compare what is remembered with the records; slots of attempts that ended unseen are free again."""
        owned = self._desk.store.attempts.owned_by(self._desk.owner)
        doubtful = [tracked for tracked in self._desk.ledger if tracked.attempt not in owned]
        records = self._desk.store.attempts.records([tracked.attempt for tracked in doubtful])
        missing = []
        for tracked, record in zip(doubtful, records, strict=True):
            if record is None:
                missing.append(tracked)
            elif record.state.is_terminal:
                self._intake.apply_record(tracked, record)
            elif record.owner != self._desk.owner:
                log.info("Another scheduler answers for attempt %s now", tracked.attempt)
                self._desk.settle(tracked, State.REVOKED, "")
        if missing:
            self._record_again(missing)
        self._desk.store.attempts.forget_ended(owned - {t.attempt for t in self._desk.ledger}, owner=self._desk.owner)

    def reread(self) -> None:
        """Read the records of everything that is remembered: events were missed."""
        everything = list(self._desk.ledger)
        records = self._desk.store.attempts.records([tracked.attempt for tracked in everything])
        for tracked, record in zip(everything, records, strict=True):
            if record is not None:
                self._intake.apply_record(tracked, record)

    def _record_again(self, missing: Sequence[Tracked]) -> None:
        """Write anew what Redis lost: what runs keeps running, what waited is submitted again."""
        log.warning("%s attempts have lost their record; recording them again", len(missing))
        started = [t for t in missing if t.state is not State.SUBMITTED]
        self._desk.store.attempts.restore(
            [
                Restoration(
                    attempt=tracked.attempt,
                    owner=self._desk.owner,
                    pool=tracked.pool,
                    state=tracked.state,
                    generation=tracked.generation,
                    fields={
                        **compat.describe_key(tracked.key),
                        "kind": tracked.kind,
                        "key": tracked.task_id,
                        "queue": tracked.queue,
                        "holder": tracked.holder,
                        **_cluster_of(self._desk, tracked),
                    },
                )
                for tracked in started
            ]
        )
        self._submit_again({t.attempt: t for t in missing if t.state is State.SUBMITTED}, {})

    def find_lost_workers(self) -> None:
        """Suspect attempts that no living worker has any more; whether they are lost is decided by evidence."""
        quiet_seconds = self._desk.settings.worker_lost_after_seconds
        if not self._desk.outage.can_tell_silence(quiet_seconds):
            return
        now = time.monotonic()
        running = [
            tracked
            for tracked in self._desk.ledger
            if tracked.pool == "celery" and tracked.state is State.RUNNING and now - tracked.since >= quiet_seconds
        ]
        if not running:
            return
        in_hand = self._desk.store.presence.in_hand()
        suspected = [tracked for tracked in running if tracked.attempt not in in_hand]
        if suspected:
            rows = compat.read_tasks(t.task_id for t in suspected if t.kind == "task")
            # A task process that is heard of in Airflow's database is merely cut off from Redis.
            beating = {task_id for task_id, row in rows.items() if row.is_beating(quiet_seconds)}
            self._conclude([t for t in suspected if t.task_id not in beating], rows, "worker lost")

    def decide_lost(self) -> None:
        """Decide about attempts that an agent reported lost: their pod died, but had the task started?"""
        lost = [t for t in map(self._desk.ledger.get, self._intake.lost) if t is not None and t.state is State.LOST]
        self._intake.lost.clear()
        if lost:
            rows = compat.read_tasks(t.task_id for t in lost if t.kind == "task")
            self._conclude(lost, rows, "")

    def _conclude(self, lost: Sequence[Tracked], rows: dict[str, compat.TaskRow], words: str) -> None:
        """Submit again what never started; fail the rest with the reason."""
        records = self._desk.store.attempts.records([t.attempt for t in lost])
        again: dict[AttemptId, Tracked] = {}
        known: dict[AttemptId, Record] = {}
        changes = []
        for tracked, record in zip(lost, records, strict=True):
            if record is None or record.state.is_terminal:
                continue
            known[tracked.attempt] = record
            row = rows.get(tracked.task_id)
            has_started = row is None or row.state not in _WAITS
            is_ours = row is None or row.attempt in ("", tracked.attempt)
            if tracked.kind == "task" and not has_started and is_ours and self._may_repeat(record):
                again[tracked.attempt] = tracked
                continue
            reason = (
                record.reason or f"{words}: {tracked.holder or 'its worker'} went away without telling how it ended"
            )
            changes.append(
                Change(
                    attempt=tracked.attempt,
                    to=State.FAILED,
                    generation=record.generation,
                    fields={"reason": reason, "category": record.category or "worker_lost"},
                )
            )
        self._desk.store.attempts.advance_all(changes)
        self._submit_again(again, known)

    def _may_repeat(self, record: Record) -> bool:
        most = self._pod_launch_retries if record.pool == "kubernetes" else _LAUNCHES_ON_WORKERS
        return most < 0 or record.launches < most

    def find_unsent(self) -> None:
        """Send again messages that a worker held unstarted and holds no more, or that left their queue for nobody."""
        now = time.monotonic()
        waiting = {
            t.attempt: t
            for t in self._desk.ledger
            if t.pool == "celery" and t.state is State.SUBMITTED and now - t.since >= _UNSENT_AFTER_SECONDS
        }
        if not waiting:
            return
        in_hand = self._desk.store.presence.in_hand()
        records = self._desk.store.attempts.records(list(waiting))
        known = {
            record.id: record
            for record in records
            if record is not None and record.state is State.SUBMITTED and record.id not in in_hand
        }
        unsent = {record.id for record in known.values() if record.received_by}
        for name, pool in self._desk.pools.items():
            untaken = [record for record in known.values() if record.pool == name and not record.received_by]
            unsent.update(record.id for record in pool.lost(self._desk.store.attempts, untaken))
        if unsent:
            log.warning("%s messages never reached a worker; sending them again", len(unsent))
            self._submit_again({attempt: waiting[attempt] for attempt in unsent}, known)

    def _submit_again(self, again: dict[AttemptId, Tracked], known: dict[AttemptId, Record]) -> None:
        """Submit attempts once more, with fresh tokens, as far as Airflow still has them queued."""
        if not again:
            return
        workloads = self._desk.make_workloads([t.task_id for t in again.values() if t.kind == "task"])
        works: list[Work] = []
        submissions: list[Submission] = []
        gone: list[Tracked] = []
        for tracked in again.values():
            workload = workloads.get(tracked.task_id)
            record = known.get(tracked.attempt)
            if workload is None:
                gone.append(tracked)
                continue
            try:
                generation = record.generation if record else 0
                work = make_work(self._desk, workload, attempt=tracked.attempt, expected_generation=generation)
                submissions.append(self._desk.pool_of(work).prepare(work))
                works.append(work)
            except TaskRejected as error:
                self._desk.settle(tracked, State.FAILED, str(error))
        generations = self._desk.store.attempts.submit(submissions)
        for submission, generation in zip(submissions, generations, strict=True):
            if generation:
                tracked = again[submission.attempt]
                tracked.state, tracked.generation, tracked.holder = State.SUBMITTED, generation, ""
                tracked.since = time.monotonic()
                log.info("Submitted attempt %s again", tracked.attempt)
        for pool in self._desk.pools.values():
            publish(self._desk, pool, [work for work in works if self._desk.pool_of(work) is pool])
        for tracked in gone:
            self._let_go(tracked)

    def _let_go(self, tracked: Tracked) -> None:
        """End an attempt that can be submitted no more; a task that Airflow still waits for would have been found."""
        reason = "Airflow no longer waits for it" if tracked.kind == "task" else "It was lost before it started"
        log.info("Letting attempt %s go: %s", tracked.attempt, reason)
        self._desk.store.attempts.revoke([tracked.attempt], reason=reason)
        self._desk.settle(tracked, State.REVOKED if tracked.kind == "task" else State.FAILED, reason)


def _cluster_of(desk: Desk, tracked: Tracked) -> dict[str, str]:
    if tracked.pool != "kubernetes":
        return {}
    route = desk.settings.routes.find(tracked.queue)
    profile = desk.settings.profile_of(route)
    return {"cluster": profile.cluster, "profile": profile.name}
