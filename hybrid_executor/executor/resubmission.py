"""Submitting attempts again: with new tokens, and only where Airflow still has their tasks queued."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.admission import Room
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.submission import make_work, publish, why_not
from hybrid_executor.metrics import table as metric
from hybrid_executor.pools.work import Work
from hybrid_executor.states import State
from hybrid_executor.store import FULL, Record, Submission
from hybrid_executor.targets import Target

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteTask

    from hybrid_executor.compat import AirflowWorkload

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An attempt that is to be submitted again.

    :ivar because, only_waits: see :class:`~hybrid_executor.store.Placement`.
    :ivar launches_here: how often it has been launched again on the target, this time included.
    """

    tracked: Tracked
    target: Target
    expected_generation: int
    because: str = ""
    only_waits: bool = False
    launches_here: int = 0


def submit_again(
    context: Context,
    again: Mapping[AttemptId, Tracked],
    known: Mapping[AttemptId, Record],
    *,
    keep: Collection[AttemptId] = (),
) -> list[Tracked]:
    """Submit attempts again, on their target or, where that takes them no more, on the next that has room.

    One whose workload cannot be made fails alone, with the reason. One for which no target has room is left as it is.
    May be repeated: an attempt whose record has changed in between is left alone.

    :param known: their records, as far as there are any.
    :param keep: those that are not to be ended where Airflow does not have their task queued any more.
    :return: the ones that were kept so.
    """
    if not again:
        return []
    workloads = queued_workloads(context, again.values())
    missing = [t for t in again.values() if t.attempt not in workloads]
    plans = _plans(context, [t for t in again.values() if t.attempt in workloads], known)
    for plan in send(context, plans, workloads):
        log.info("Submitted attempt %s again", plan.tracked.attempt)
        context.metrics.count(metric.REPAIRED, repair="submitted_again")
    for tracked in missing:
        if tracked.attempt not in keep:
            end(context, tracked)
    return [tracked for tracked in missing if tracked.attempt in keep]


def queued_workloads(context: Context, attempts: Collection[Tracked]) -> dict[AttemptId, ExecuteTask | Exception]:
    """Return new workloads for the attempts that Airflow has queued now.

    A task that is queued as another attempt belongs to that one: a deferred task, for example, that has been resumed.
    """
    made = context.make_workloads([t.workload_id for t in attempts if t.kind == "task"])
    found = {t.attempt: made[t.workload_id] for t in attempts if t.workload_id in made}
    return {attempt: workload for attempt, workload in found.items() if not _is_of_another(context, attempt, workload)}


def stored_workloads(context: Context, attempts: Sequence[Tracked]) -> dict[AttemptId, AirflowWorkload | Exception]:
    """Return the workloads of callbacks and connection tests that wait, as they were submitted.

    They keep their token. Where it expires, Redis has forgotten the workload by then.

    :raises StoreUnavailable: Redis could not be asked.
    """
    found: dict[AttemptId, AirflowWorkload | Exception] = {}
    if not attempts:
        return found
    stored = context.store.attempts.workloads([tracked.attempt for tracked in attempts])
    for tracked, (_, payload, _) in zip(attempts, stored, strict=True):
        if not payload:
            continue
        try:
            found[tracked.attempt] = compat.parse_workload(tracked.kind, payload)
        except ValueError as error:
            found[tracked.attempt] = error
    return found


def _is_of_another(context: Context, attempt: AttemptId, workload: ExecuteTask | Exception) -> bool:
    if isinstance(workload, Exception) or not context.trusts_ids:
        return False
    return workload.ti.external_executor_id not in (None, "", attempt)


def _plans(context: Context, again: Sequence[Tracked], known: Mapping[AttemptId, Record]) -> list[Plan]:
    """Return where attempts are submitted again; those for which no target has room are left out."""
    plans = []
    room: Room | None = None
    for tracked in again:
        record = known.get(tracked.attempt)
        route = context.settings.routes.find(tracked.queue)
        later = [target for target in route.after(tracked.target) if target.pool in context.pools]
        found = route.find(tracked.target)
        current = found if found is not None and found.pool in context.pools else None
        launches_here = record.launches - record.placed_launches + 1 if record is not None else 0
        because = _why_not_here(context, tracked, record, current, launches_here) if later else ""
        target = current
        if record is not None and later and (because or current is None):
            if room is None:
                context.placing.ask()
                room = context.placing.room()
            queue, try_number = tracked.queue, tracked.try_number
            target = room.move(route, current, targets=later, queue=queue, try_number=try_number)
        if target is None and because != "tries":
            target = current or (later[0] if later else None)
        if target is not None:
            plan = Plan(
                tracked=tracked,
                target=target,
                expected_generation=record.generation if record is not None else 0,
                because=because if target is not current else "",
                launches_here=launches_here if target is current else 0,
            )
            plans.append(plan)
    return plans


def _why_not_here(
    context: Context, tracked: Tracked, record: Record | None, current: Target | None, launches_here: int
) -> str:
    """Return the condition for which an attempt is not submitted on its target again, "" where it may be."""
    if record is not None and record.leaving:
        return record.leaving
    if current is None:
        return ""
    if current.tries is not None and tracked.try_number - 1 + launches_here >= current.tries:
        return "tries"
    return "served" if current.is_served and not context.placing.serves(tracked.queue) else ""


def send(
    context: Context, plans: Sequence[Plan], workloads: Mapping[AttemptId, AirflowWorkload | Exception]
) -> list[Plan]:
    """Submit attempts again in one round trip, and note where they are; return those that were submitted.

    One that cannot be prepared or recorded fails alone. One that only waits goes on waiting where it is, unless nothing
    can start it there.

    :raises StoreUnavailable: Redis could not be asked; this may be repeated.
    """
    works: list[tuple[Plan, Work, Submission]] = []
    for plan in plans:
        try:
            work = _make_work(context, plan, workloads[plan.tracked.attempt])
            works.append((plan, work, context.pool_of(work).prepare(work)))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
            _refuse(context, plan, why_not(error, plan.tracked.key))
    generations = context.store.attempts.submit([submission for _, _, submission in works])
    sent: list[Plan] = []
    to_publish: list[Work] = []
    for (plan, work, submission), generation in zip(works, generations, strict=True):
        if generation < 0 and generation != FULL:
            _refuse(context, plan, context.store.attempts.explain(submission, generation))
        elif generation > 0:
            _note(context, plan, generation)
            sent.append(plan)
        if generation > 0 or (generation == 0 and not plan.only_waits):
            context.pending.unsent.pop(work.attempt, None)
            to_publish.append(work)
    for pool in context.pools.values():
        for unsent in publish(context, pool, [work for work in to_publish if context.pool_of(work) is pool]):
            context.pending.unsent[unsent.attempt] = unsent
    return sent


def _make_work(context: Context, plan: Plan, workload: AirflowWorkload | Exception) -> Work:
    if isinstance(workload, Exception):
        raise workload
    return make_work(
        context,
        compat.read_workload(workload),
        attempt=plan.tracked.attempt,
        target=plan.target,
        expected_generation=plan.expected_generation,
        because=plan.because,
        only_waits=plan.only_waits,
        launches_here=plan.launches_here,
    )


def _refuse(context: Context, plan: Plan, reason: str) -> None:
    tracked = plan.tracked
    if plan.only_waits and not tracked.leaving:
        tracked.stays = True
        log.warning("Attempt %s does not go on to target %s: %s", tracked.attempt, plan.target.name, reason)
    else:
        context.fail(tracked, reason)


def _note(context: Context, plan: Plan, generation: int) -> None:
    tracked, target, now = plan.tracked, plan.target, context.clock()
    context.ledger.put(tracked, target.pool)
    tracked.target, tracked.profile, tracked.placed_since, tracked.leaving = target.name, target.profile, now, ""
    tracked.state, tracked.generation, tracked.holder = State.SUBMITTED, generation, ""
    tracked.since = now


def end(context: Context, tracked: Tracked, *, died: str = "") -> None:
    """End an attempt that cannot be submitted again; a task that Airflow still waits for would have been found.

    :param died: why its pod or process died. Airflow has failed the task by itself, without knowing why.
    """
    reason = "Airflow no longer waits for it" if tracked.kind == "task" else "It was lost before it started"
    if died:
        reason = died
        context.reports.explained(tracked, died)
    log.info("Attempt %s is not submitted again: %s", tracked.attempt, reason)
    context.store.attempts.revoke([tracked.attempt], reason=reason)
    context.settle(tracked, State.REVOKED if tracked.kind == "task" else State.FAILED, reason)
