"""Diagnoses of pods, written to the records in batches, and what follows from the records' answers.

Promises: one round trip a batch. A change that the record refuses does nothing. A pod is deleted or marked only after
its record has accepted the verdict, or refused it for good. A verdict that is not settled, or that waits for a log, is
recorded later by :meth:`PodRecorder.record_due`. It is not lost while this process lives, and the next watcher sees it
again. So is what is seen of a pod while Redis has lost its attempt's record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.removal import PodRef, PodRemover
from hybrid_executor.agent.watch.decision import (
    Sighting,
    blocks_relaunch,
    change_for,
    change_instead,
    cleanup_after,
    may_park,
    note_for,
)
from hybrid_executor.agent.watch.log_tails import LogTails, wants_log, with_lines
from hybrid_executor.agent.watch.patience import Endings
from hybrid_executor.agent.watch.unrecorded import Unrecorded
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.causes import Category
from hybrid_executor.kube.diagnosis import sentence
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Claim, HandOvers, Outcome, Starts, Waiter

log = logging.getLogger(__name__)

SHORTAGE_SECONDS = 60.0
"""A pod that found no node for so long, though others gave way, needs something else."""


class PodRecorder:
    """Writes the diagnoses of pods to their attempts' records.

    :param starts: told which pods have started, None for nobody.
    :param hand_overs: told which pods wait for their workload, None for nobody.
    :param on_end: called with each namespace where a pod ended.
    :param on_shortage: called with each namespace where a pod has found no node for less than a minute.
    """

    def __init__(
        self,
        attempts: Attempts,
        *,
        settings: KubernetesSettings,
        remover: PodRemover,
        log_tails: LogTails,
        starts: Starts | None = None,
        hand_overs: HandOvers | None = None,
        cluster: str = "",
        on_end: Callable[[str, Collection[str] | None], None] = lambda _, __: None,
        on_shortage: Callable[[str], None] = lambda _: None,
        metrics: Metrics = SILENT,
    ) -> None:
        self._attempts = attempts
        self._metrics = metrics
        self._starts = starts
        self._hand_overs = hand_overs
        self._cluster = cluster
        self._on_end = on_end
        self._on_shortage = on_shortage
        self._settings = settings
        self._remover = remover
        self._log_tails = log_tails
        self._endings = Endings()
        self._unrecorded = Unrecorded()
        self._without_node: dict[str, float] = {}

    def record(self, sightings: Sequence[Sighting]) -> None:
        """Record sightings in their order; verdicts that have to wait are held.

        :raises StoreUnavailable: Redis unavailable; all may be recorded again.
        """
        now = time.monotonic()
        settled = [found for seen in sightings if (found := self._endings.take(seen, now=now)) is not None]
        self._decide(settled, now=now)
        self._count_starts(sightings)
        for namespace, freed in {(seen.identity.namespace, seen.freed) for seen in sightings}:
            if freed is None or freed:
                self._on_end(namespace, freed)
        for namespace in {seen.identity.namespace for seen in sightings if self._needs_room(seen, now=now)}:
            self._on_shortage(namespace)

    def _needs_room(self, seen: Sighting, *, now: float) -> bool:
        """Return whether others should make room for a pod."""
        if seen.is_gone or not finds_no_node(seen):
            self._without_node.pop(seen.identity.uid, None)
            return False
        return now - self._without_node.setdefault(seen.identity.uid, now) < SHORTAGE_SECONDS

    def holds(self, seen: Sighting) -> bool:
        """Return whether something about this pod waits to be recorded."""
        return self._endings.holds(seen) or self._unrecorded.holds(seen)

    def record_due(self) -> None:
        """Record the verdicts that have waited long enough, and what waits for a record. Cheap where there are none.

        :raises StoreUnavailable: Redis unavailable; they go on waiting.
        """
        now = time.monotonic()
        self._decide(self._endings.due(now=now), now=now)
        for seen, lines in self._log_tails.ready(now=now):
            self._write([seen], lines=lines)
            self._log_tails.forget(seen)
            self._endings.forget([seen])
        kept = self._unrecorded.due(now=now)
        self._write_settled([seen for seen, lines in kept if not lines], now=now)
        for seen, lines in kept:
            if lines:
                self._write([seen], lines=lines)

    def _decide(self, sightings: Sequence[Sighting], *, now: float) -> None:
        """Record sightings, except those whose log is to be read first."""
        ready = []
        for seen in sightings:
            if seen.diagnosis.is_final and self._log_tails.holds(seen):
                continue
            if wants_log(seen):
                self._log_tails.put(seen, now=now)
            else:
                ready.append(seen)
        self._write_settled(ready, now=now)

    def _write_settled(self, sightings: Sequence[Sighting], *, now: float) -> None:
        if not sightings:
            return
        removed = self._write(sightings)
        self._endings.forget(seen for seen in sightings if seen.diagnosis.is_final)
        for seen in removed:
            self._endings.keep(seen, now=now)

    def _write(self, sightings: Sequence[Sighting], *, lines: str = "") -> list[Sighting]:
        """Record sightings, one by one if they cannot be recorded together; see :meth:`_write_together`."""
        try:
            return self._write_together(sightings, lines=lines)
        except StoreUnavailable:
            raise
        except Exception:
            if len(sightings) > 1:
                return [removed for seen in sightings for removed in self._write([seen], lines=lines)]
            log.exception("The state of pod %s cannot be recorded", sightings[0].identity.path)
            return []

    def _write_together(self, sightings: Sequence[Sighting], *, lines: str = "") -> list[Sighting]:
        """Record sightings; return those whose pod has to be gone before the record can change."""
        removed: list[Sighting] = []
        changes: list[tuple[Sighting, Change]] = []
        notes: dict[AttemptId, dict[str, str]] = {}
        for sighting in sightings:
            change = change_for(sighting.diagnosis, sighting.identity, self._settings)
            if change is not None and sighting.is_unseen and change.to is State.FAILED:
                change = replace(change, to=State.LOST)  # which is no failure: its owner knows whether it has started
            if change is not None and lines:
                reason = with_lines(str(change.fields["reason"]), container=sighting.diagnosis.container, lines=lines)
                change = replace(change, fields={**change.fields, "reason": reason})
            note = note_for(sighting.diagnosis)
            if change is not None and blocks_relaunch(change, sighting):
                # Its deletion is an event of its own; then the attempt is launched again.
                self._remover.clean("delete", _ref_of(sighting.identity))
                removed.append(sighting)
                self._unrecorded.forget([sighting])
                note = f"To be launched again: {sentence(sighting.diagnosis)}"
            elif change is not None:
                changes.append((sighting, _with_evidence(change, sighting)))
            if note:
                notes[sighting.identity.attempt] = {"note": note, "category": str(sighting.diagnosis.category)}
            else:
                notes.pop(sighting.identity.attempt, None)
        claims = self._attempts.advance_all([change for _, change in changes])
        claims = self._try_instead(changes, claims)
        if notes:
            self._attempts.annotate(notes)
        for (sighting, change), claim in zip(changes, claims, strict=True):
            if not self._waits_for_record(sighting, claim, lines=lines):
                self._follow_up(sighting, change, claim)
        self._have_handed_over(changes, claims)
        return removed

    def _have_handed_over(self, changes: Sequence[tuple[Sighting, Change]], claims: Sequence[Claim]) -> None:
        """Let agents hand workloads over to the pods that wait for theirs.

        A warm pod that its record does not name is looked at as well: Redis has lost that it was given away.
        """
        waiters = [
            Waiter(identity.attempt, claim.generation, identity.namespace, identity.name)
            for (sighting, _), claim in zip(changes, claims, strict=True)
            for identity in [sighting.identity]
            if (sighting.awaits or sighting.was_warm)
            and claim.state == State.PENDING
            and claim.generation <= identity.generation
        ]
        if waiters and self._hand_overs is not None:
            self._hand_overs.due(waiters)

    def _count_starts(self, sightings: Sequence[Sighting]) -> None:
        """Tell the launchers which pods have started, and which do not use the limit of starting pods."""
        if self._starts is None:
            return
        last = {seen.identity.attempt: start_of(seen) for seen in sightings}
        steps: dict[str, list[AttemptId]] = {}
        for attempt, step in last.items():
            steps.setdefault(step, []).append(attempt)
        for step, tell in (("run", self._starts.run), ("ended", self._starts.ended), ("leave", self._starts.leave)):
            if steps.get(step):
                tell(self._cluster, steps[step])

    def _try_instead(self, changes: list[tuple[Sighting, Change]], claims: list[Claim]) -> list[Claim]:
        """Make the changes that replace refused ones; ``changes`` then holds what was tried last."""
        instead = {
            index: (sighting, other)
            for index, ((sighting, change), claim) in enumerate(zip(changes, claims, strict=True))
            if not claim.is_granted and (other := change_instead(change, claim, sighting.identity)) is not None
        }
        answers = self._attempts.advance_all([change for _, change in instead.values()])
        for index, claim in zip(instead, answers, strict=True):
            changes[index], claims[index] = instead[index], claim
        return claims

    def _waits_for_record(self, sighting: Sighting, claim: Claim, *, lines: str) -> bool:
        """Return whether a sighting is kept, and its pod left as it is, until its attempt's record is there again."""
        if claim.outcome is Outcome.MISSING:
            return self._unrecorded.keep(sighting, now=time.monotonic(), lines=lines)
        self._unrecorded.forget([sighting])
        return False

    def _follow_up(self, sighting: Sighting, change: Change, claim: Claim) -> None:
        identity, diagnosis = sighting.identity, sighting.diagnosis
        if claim.is_granted:
            self._count(sighting, change)
        if claim.is_granted and diagnosis.phase == "failed":
            words = sentence(diagnosis)
            log.info("Attempt %s is %s: pod %s: %s", identity.attempt, change.to.value, identity.path, words)
        elif claim.is_granted:
            log.info("Attempt %s is %s: pod %s", identity.attempt, change.to.value, identity.path)
        cleanup = cleanup_after(claim, sighting, self._settings)
        if cleanup == "end":
            log.info("Pod %s is kept, and its running containers are ended", identity.path)
        self._remover.clean(cleanup, _ref_of(identity))

    def _count(self, sighting: Sighting, change: Change) -> None:
        if sighting.started_after is not None and (change.to is State.RUNNING or sighting.awaits):
            self._metrics.time(
                metric.START_TIME,
                sighting.started_after,
                cluster=self._cluster,
                kube_namespace=sighting.identity.namespace,
            )
        elif change.relaunch:
            category = str(sighting.diagnosis.category)
            self._metrics.count(metric.RELAUNCHED, cluster=self._cluster, category=category)


def _with_evidence(change: Change, seen: Sighting) -> Change:
    return replace(change, may_park=may_park(seen), needs_workload=seen.needs_workload)


def start_of(seen: Sighting) -> str:
    """Return how far a pod is with its start: ``run``, ``ended``, ``leave`` (it will not start) or ""."""
    phase = seen.diagnosis.phase
    if phase == "running" or seen.awaits:
        return "run"
    if phase == "succeeded":
        return "ended"
    if phase == "pending" and seen.diagnosis.category is Category.PENDING:
        return ""
    return "leave"


def finds_no_node(seen: Sighting) -> bool:
    """Return whether the scheduler has no node for a pod."""
    return seen.diagnosis.phase == "pending" and seen.diagnosis.category is Category.UNSCHEDULABLE


def _ref_of(identity: PodIdentity) -> PodRef:
    return PodRef(identity.namespace, identity.name, identity.uid)
