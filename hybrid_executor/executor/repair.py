"""What only the owner of attempts can repair, on a timer: missed events, lost holders, lost messages, lost data.

Level-triggered: looks at records and at Airflow's database, in bulk, and never concludes anything from silence alone.
Work leaves a list when it is done, and one attempt that cannot be repaired ends itself, never the round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.beats import Beats
from hybrid_executor.executor.desk import Desk
from hybrid_executor.executor.intake import Intake
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.resubmission import Resubmission
from hybrid_executor.executor.steps import Steps
from hybrid_executor.states import State
from hybrid_executor.store import Change, Record, Restoration

log = logging.getLogger(__name__)

_UNSENT_AFTER_SECONDS = 30.0
_LAUNCHES_ON_WORKERS = 3
_LOOKED_AT_EACH_TIME = 500
_WAITS = ("queued", "scheduled")
_BEFORE_START = frozenset({State.SUBMITTED, State.LAUNCHING, State.PENDING})


class Repair:
    """The owner's repairs. Each step may be repeated at any time."""

    def __init__(self, desk: Desk, intake: Intake, *, pod_launch_retries: int) -> None:
        self._desk = desk
        self._intake = intake
        self._pod_launch_retries = pod_launch_retries
        self._again = Resubmission(desk)
        self._beats = Beats()
        self._looked_at: set[AttemptId] = set()
        self._sweep_cursors: dict[str, int] = {}

    def run(self, steps: Steps) -> bool:
        """Do all of them once, as far as each can be done; return whether all were."""
        done = [
            steps.do("compare attempts with their records", self.reconcile),
            steps.do("look at some records again", self.look_again),
            steps.do("look for lost workers", self.find_lost_workers),
            steps.do("decide about lost attempts", self.decide_lost),
            steps.do("look for unsent messages", self.find_unsent),
            steps.do("sweep the sets of live attempts", self.sweep),
        ]
        return all(done)

    def reconcile(self) -> None:
        """Compare what is remembered with the records; slots of attempts that ended unseen are free again."""
        owned = self._desk.store.attempts.owned_by(self._desk.owner)
        self._compare([tracked for tracked in self._desk.ledger if tracked.attempt not in owned])
        self._desk.store.attempts.forget_ended(owned - {t.attempt for t in self._desk.ledger}, owner=self._desk.owner)

    def look_again(self) -> None:
        """Look at the records of some attempts, others each time: one that went wrong unseen is found in the end."""
        waiting = [tracked for tracked in self._desk.ledger if tracked.attempt not in self._looked_at]
        if not waiting:
            self._looked_at.clear()
            waiting = list(self._desk.ledger)
        chosen = waiting[:_LOOKED_AT_EACH_TIME]
        self._compare(chosen)
        self._looked_at |= {tracked.attempt for tracked in chosen}
        self._looked_at &= {tracked.attempt for tracked in self._desk.ledger}

    def reread(self) -> None:
        """Read the records of everything that is remembered: events were missed."""
        everything = list(self._desk.ledger)
        for tracked, record in zip(everything, self._read(everything), strict=True):
            if record is not None:
                self._intake.apply_record(tracked, record)

    def _read(self, tracked: Sequence[Tracked]) -> list[Record | None]:
        return self._desk.store.attempts.records([item.attempt for item in tracked])

    def _compare(self, doubtful: Sequence[Tracked]) -> None:
        missing = []
        for tracked, record in zip(doubtful, self._read(doubtful), strict=True):
            if record is None:
                missing.append(tracked)
            elif record.trouble:
                self._desk.fail(tracked, record.trouble)
            elif record.state.is_terminal or record.owner == self._desk.owner:
                self._intake.apply_record(tracked, record)
            elif record.state is not State.UNKNOWN:
                log.info("Another scheduler answers for attempt %s now", tracked.attempt)
                self._desk.settle(tracked, State.REVOKED, "")
        if missing:
            self._record_again(missing)

    def _record_again(self, missing: Sequence[Tracked]) -> None:
        """Write anew what Redis lost: what runs keeps running, what waited is submitted again.

        A launch that waited for its pod waits for it again, with a new workload: where there is a pod already, the
        agents find it. One whose task has started since is recorded as it was.
        """
        log.warning("%s attempts have lost their record; recording them again", len(missing))
        waiting = {t.attempt: t for t in missing if t.state in _BEFORE_START}
        not_queued = self._again.submit(
            waiting, {}, keep={t.attempt for t in waiting.values() if t.state is not State.SUBMITTED}
        )
        started = [t for t in missing if t.attempt not in waiting] + not_queued
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
        in_hand = self._desk.store.presence.in_hand() if running else set()
        suspected = [tracked for tracked in running if tracked.attempt not in in_hand]
        rows = compat.read_tasks(t.task_id for t in suspected if t.kind == "task") if suspected else {}
        # A task process that is heard of in Airflow's database is merely cut off from Redis.
        beating = self._beats.of(rows, quiet_seconds=quiet_seconds, now=now)
        if suspected:
            self._conclude([t for t in suspected if t.task_id not in beating], rows, "worker lost")

    def decide_lost(self) -> None:
        """Decide about attempts that an agent reported lost: their pod died, but had the task started?"""
        self._intake.lost |= {tracked.attempt for tracked in self._desk.ledger if tracked.state is State.LOST}
        asked = set(self._intake.lost)
        lost = [t for t in map(self._desk.ledger.get, asked) if t is not None and t.state is State.LOST]
        if lost:
            rows = compat.read_tasks(t.task_id for t in lost if t.kind == "task")
            self._conclude(lost, rows, "")
        self._intake.lost -= asked

    def _conclude(self, lost: Sequence[Tracked], rows: dict[str, compat.TaskRow], words: str) -> None:
        """Submit again what never started; fail the rest with the reason."""
        again: dict[AttemptId, Tracked] = {}
        known: dict[AttemptId, Record] = {}
        changes = []
        for tracked, record in zip(lost, self._read(lost), strict=True):
            if record is None or record.state.is_terminal:
                continue
            if record.trouble:
                self._desk.fail(tracked, record.trouble)
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
        self._again.submit(again, known)

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
        known = {
            record.id: record
            for record in self._read(list(waiting.values()))
            if record is not None and record.state is State.SUBMITTED and record.id not in in_hand
        }
        unsent = {record.id for record in known.values() if record.received_by}
        for name, pool in self._desk.pools.items():
            untaken = [record for record in known.values() if record.pool == name and not record.received_by]
            unsent.update(record.id for record in pool.lost(self._desk.store.attempts, untaken))
        if unsent:
            log.warning("%s messages never reached a worker; sending them again", len(unsent))
            self._again.submit({attempt: waiting[attempt] for attempt in unsent}, known)

    def sweep(self) -> None:
        """Drop from the pools' sets what nobody answers for any more: the attempts of schedulers that are gone."""
        for pool in self._desk.pools:
            cursor = self._sweep_cursors.get(pool, 0)
            self._sweep_cursors[pool] = self._desk.store.attempts.sweep(pool, cursor=cursor)


def _cluster_of(desk: Desk, tracked: Tracked) -> dict[str, str]:
    if tracked.pool != "kubernetes":
        return {}
    route = desk.settings.routes.find(tracked.queue)
    profile = desk.settings.profile_of(route)
    return {"cluster": profile.cluster, "profile": profile.name}
