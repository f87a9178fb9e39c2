"""Comparing what is remembered of attempts with their records: what events missed is found here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from hybrid_executor import compat
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.resubmission import end, submit_again
from hybrid_executor.executor.turns import Turns
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Record, Restoration

log = logging.getLogger(__name__)

_COMPARED_EACH_TIME = 500
_HAS_POD = frozenset({State.PENDING, State.RUNNING})
_BEFORE_START = frozenset({State.SUBMITTED, State.LAUNCHING, State.PENDING})
_NOT_STARTED = frozenset({"", "queued", "scheduled"})


class Comparison:
    """Each method may be repeated at any time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = Turns(_COMPARED_EACH_TIME)

    def read_pending(self) -> None:
        """Read the records of the attempts of which an event may have been missed."""
        to_read = self._context.pending.to_read
        to_read &= {tracked.attempt for tracked in self._context.ledger}
        chosen = [tracked for tracked in self._context.ledger if tracked.attempt in to_read]
        records = self._read(chosen)
        _run_again(self._context, [t for t, r in zip(chosen, records, strict=True) if _has_lost_its_start(t, r)])
        for tracked, record in zip(chosen, records, strict=True):
            if record is not None:
                self._context.apply_record(tracked, record)
            to_read.discard(tracked.attempt)

    def compare_all(self) -> None:
        """Compare the attempts that Redis does not count as live and ours; free the slots of those that ended."""
        context = self._context
        owned = context.store.attempts.owned_by(context.owner)
        self._compare([tracked for tracked in context.ledger if tracked.attempt not in owned])
        context.store.attempts.forget_ended(owned - {t.attempt for t in context.ledger}, owner=context.owner)

    def compare_some(self) -> None:
        """Compare some attempts, others each time, so that each is compared now and then whatever Redis counts."""
        self._compare(self._turns.take(self._context.ledger))

    def _read(self, tracked: Sequence[Tracked]) -> list[Record | None]:
        return self._context.store.attempts.records([item.attempt for item in tracked])

    def _compare(self, doubtful: Sequence[Tracked]) -> None:
        context, missing, others = self._context, [], []
        for tracked, record in zip(doubtful, self._read(doubtful), strict=True):
            if record is None:
                missing.append(tracked)
            elif record.trouble:
                context.fail(tracked, record.trouble)
            elif record.owner == context.owner and record.state is State.LOST:
                self._decide_again(tracked, record)
            elif _has_lost_its_start(tracked, record):
                _run_again(context, [tracked])
            elif record.state.is_terminal or record.owner == context.owner:
                self._count_again(tracked, record)
                _undo_lost_move(tracked, record)
                context.apply_record(tracked, record)
            elif record.state is not State.UNKNOWN:
                others.append((tracked, record))
                continue
            if record is not None and context.ledger.get(tracked.attempt) is None:
                context.metrics.count(metric.SLOTS_HEALED, pool=tracked.pool)
        if others:
            _let_go_or_take_back(context, others)
        if missing:
            _record_again(context, missing)

    def _count_again(self, tracked: Tracked, record: Record) -> None:
        """Let a record tell its target again that a worker or an agent has written anew, without knowing the target."""
        target = _target_of(self._context, tracked)
        if target and not record.route and record.pool == tracked.pool and not record.state.is_terminal:
            self._context.store.attempts.annotate({tracked.attempt: target})  # the recount of places follows it

    def _decide_again(self, tracked: Tracked, record: Record) -> None:
        """Have a lost attempt decided, also where it was submitted again since, and Redis has lost that.

        Workers and agents first get the time to write again what runs.
        """
        context, quiet_seconds = self._context, self._context.settings.worker_lost_after_seconds
        if record.generation < tracked.generation:
            if not context.outage.can_tell_silence(quiet_seconds):
                return
            row = compat.read_tasks([tracked.workload_id]).get(tracked.workload_id)
            if row is not None and row.is_beating(quiet_seconds):
                return
        context.apply(tracked, State.LOST, record.generation, holder=record.holder, reason=record.reason)


def _let_go_or_take_back(context: Context, others: Sequence[tuple[Tracked, Record]]) -> None:
    """Forget what another scheduler answers for, by Airflow's database. Take the rest back.

    A Redis that has fallen back to older data may have lost that this scheduler has adopted them.
    """
    rows = compat.read_tasks(tracked.workload_id for tracked, _ in others if tracked.kind == "task")
    for tracked, record in others:
        row = rows.get(tracked.workload_id)
        if row is not None and row.attempt == tracked.attempt and row.queued_by == context.owner:
            log.warning("Attempt %s is ours again: Redis has lost that we adopted it", tracked.attempt)
            context.store.attempts.adopt([tracked.attempt], owner=context.owner)
            _undo_lost_move(tracked, record)
            context.apply_record(tracked, record)
        else:
            log.info("Another scheduler answers for attempt %s now", tracked.attempt)
            context.let_go(tracked)
            context.metrics.count(metric.SLOTS_HEALED, pool=tracked.pool)


def _has_lost_its_start(tracked: Tracked, record: Record | None) -> bool:
    """Return whether Redis has fallen back to before a worker began an attempt that this scheduler knows to run."""
    if record is None or tracked.state is not State.RUNNING or not tracked.pool == record.pool == "celery":
        return False
    return record.state is State.SUBMITTED and record.generation < tracked.generation


def _run_again(context: Context, started: Sequence[Tracked]) -> None:
    """Let attempts run again by their records: nobody must start them once more.

    A worker that lives does this too. Where it has died, the attempt is found to be lost, and is decided by evidence.
    """
    if started:
        log.warning("Redis has lost that %s attempts were started; writing it again", len(started))
        again = [replace(_restoration(context, tracked), replaces_older=True) for tracked in started]
        context.store.attempts.restore(again)


def _undo_lost_move(tracked: Tracked, record: Record) -> None:
    """Let an attempt be where its record says, if Redis has lost that it has gone on to another target.

    It waits there again and may go on once more. Else nobody would look after it: its record is that of another target,
    and its message or launch on this one is lost too.
    """
    is_elsewhere = bool(record.target) and record.target != tracked.target
    if is_elsewhere and record.state is State.SUBMITTED and record.generation < tracked.generation:
        log.warning("Attempt %s is on target %s again: Redis has lost that it left it", record.id, record.target)
        tracked.generation = record.generation


def _record_again(context: Context, missing: Sequence[Tracked]) -> None:
    """Write the records that Redis lost: what runs keeps running, what waited is submitted again.

    An attempt that waited for its pod is launched again with a new workload; where its pod exists already, the agents
    find it. Where its task has started in between, it is recorded as it was, or as one whose pod is to be found.
    """
    log.warning("%s attempts have lost their record; recording them again", len(missing))
    waiting = {t.attempt: t for t in missing if t.state in _BEFORE_START}
    not_queued = submit_again(context, waiting, {}, keep=waiting)
    started = [t for t in missing if t.attempt not in waiting]
    started += [t for t in not_queued if t.state is not State.SUBMITTED]
    started += _started_unseen(context, [t for t in not_queued if t.state is State.SUBMITTED])
    context.store.attempts.restore([_restoration(context, tracked) for tracked in started])
    context.metrics.count(metric.REPAIRED, len(started), repair="recorded_again")


def _started_unseen(context: Context, not_queued: Sequence[Tracked]) -> list[Tracked]:
    """Return those whose task has started in a pod, and end what Airflow no longer waits for.

    One whose task runs on a worker goes on: the worker writes its record again.
    """
    rows = compat.read_tasks(t.workload_id for t in not_queued if t.kind == "task") if not_queued else {}
    in_pods = []
    for tracked in not_queued:
        row = rows.get(tracked.workload_id)
        if row is None or row.attempt != tracked.attempt:
            end(context, tracked)
        elif tracked.pool == "kubernetes" and row.state not in _NOT_STARTED:
            in_pods.append(tracked)
        elif row.state != "running":
            end(context, tracked)
    return in_pods


def _restoration(context: Context, tracked: Tracked) -> Restoration:
    # A pod that has started its task was launched, and so it can be found or missed.
    state = State.LAUNCHING if tracked.state is State.SUBMITTED else tracked.state
    return Restoration(
        attempt=tracked.attempt,
        owner=context.owner,
        pool=tracked.pool,
        state=state,
        generation=tracked.generation,
        fields={
            **compat.describe_key(tracked.key),
            "kind": tracked.kind,
            "key": tracked.workload_id,
            "queue": tracked.queue,
            "holder": tracked.holder,
            **_target_of(context, tracked),
            **_place_of(context, tracked),
        },
    )


def _target_of(context: Context, tracked: Tracked) -> dict[str, str]:
    """Return on which target it is counted, nothing where it is counted on none."""
    route = context.settings.routes.find(tracked.queue)
    return {"route": route.pattern, "target": tracked.target} if route.is_elastic else {}


def _place_of(context: Context, tracked: Tracked) -> dict[str, str]:
    """Return where its pod is. It may be gone already: then the agents find that from its name and namespace."""
    if tracked.pool != "kubernetes":
        return {}
    place = {"cluster": context.settings.cluster_of_profile(tracked.profile), "profile": tracked.profile}
    if tracked.state in _HAS_POD and tracked.namespace:
        place |= {"pod": tracked.holder, "namespace": tracked.namespace}
    return place
