"""From a workload to a record, a message or a launch: all workloads of one heartbeat in one write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING
from uuid import uuid4

from hybrid_executor import compat
from hybrid_executor.errors import StoreUnavailable, TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.clock import Clock
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.hiding import hide_secrets, traceback_of
from hybrid_executor.metrics import table as metric
from hybrid_executor.pools.pool import RecordedPool
from hybrid_executor.pools.work import SENT_FIELD, Work
from hybrid_executor.routing import Route
from hybrid_executor.states import State
from hybrid_executor.store import FULL, Placement, Submission
from hybrid_executor.targets import Target

if TYPE_CHECKING:
    from hybrid_executor.compat import AirflowWorkload, Workload, WorkloadKey

log = logging.getLogger(__name__)

_BATCH = 1_000
_SUBMIT_SECONDS = 0.5
"""After this, what waits is left for the next heartbeat: what has ended is to be taken in as well."""
Placed = tuple["AirflowWorkload", Target]


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A workload that can be submitted.

    :ivar is_new_id: Airflow does not know its attempt id yet.
    """

    submission: Submission
    tracked: Tracked
    work: Work
    is_new_id: bool


def check_known(workload: object) -> None:
    """Make sure that this release can run such workloads.

    :raises TaskRejected: it cannot.
    """
    if not compat.is_known(workload):
        raise TaskRejected(
            f"This release of airflow-hybrid-executor cannot run a {type(workload).__name__} of Airflow "
            f"{compat.airflow_version()}: install a newer release, or use another executor for it"
        )


def in_batches(admitted: Iterator[Placed], submit_batch: Callable[[list[Placed]], None], *, clock: Clock) -> bool:
    """Submit batch after batch for half a second; return whether there was something.

    :raises StoreUnavailable: as ``submit_batch``; what was submitted before is tracked.
    """
    until, is_busy = clock() + _SUBMIT_SECONDS, False
    while batch := list(islice(admitted, _BATCH)):
        is_busy = True
        submit_batch(batch)
        if clock() >= until:
            break
    return is_busy


def submit(context: Context, workloads: Sequence[Placed]) -> None:
    """Submit workloads to their targets in one round trip, and track those that are recorded.

    Where other schedulers have filled a target in the meantime, a workload stays queued. A workload that cannot be
    prepared or recorded is refused alone. Safe to repeat after StoreUnavailable: what was recorded the first time is
    recognised.

    :raises StoreUnavailable: Redis could not be asked; the workloads stay queued.
    """
    prepared: list[_Prepared] = []
    attempts = context.store.attempts
    with context.outage.watch():
        generations = attempts.submit(item.submission for item in _prepare_all(context, workloads, prepared))
        known = [item for item, generation in zip(prepared, generations, strict=True) if not generation]
        records = attempts.records([item.tracked.attempt for item in known])
    others = set()
    for item, record in zip(known, records, strict=True):
        if record is not None:
            item.tracked.generation, item.tracked.state = record.generation, record.state
            context.place(item.tracked, record)
            if item.tracked.kind == "callback" and record.owner != context.owner:
                others.add(item.tracked.attempt)
    # From here on nothing may raise: what is recorded counts as taken, or a callback would be recorded again.
    for item, generation in zip(prepared, generations, strict=True):
        if item.tracked.attempt in others:
            log.info("Callback %s was submitted by another scheduler", item.tracked.attempt)
            context.reports.taken(item.tracked.key)
        elif generation == FULL:
            log.debug("No place is free on target %s any more for %s", item.tracked.target, item.tracked.key)
        elif generation < 0:
            reason = attempts.explain(item.submission, generation)
            _refuse(context, item.tracked.key, reason, item.tracked.workload_run_id)
        else:
            item.tracked.generation = generation or item.tracked.generation
            _take(context, item)
            if generation:
                context.metrics.count(metric.SUBMITTED, pool=item.tracked.pool, queue=item.tracked.queue)
    try:
        publish_unsent(context)
    except StoreUnavailable as error:
        log.info("Which messages were sent cannot be recorded now, so they are sent once more: %s", error)


def _prepare_all(context: Context, workloads: Sequence[Placed], prepared: list[_Prepared]) -> Iterator[_Prepared]:
    """Yield what can be submitted, and add it to ``prepared``."""
    for workload, target in workloads:
        workload_run_id = ""
        try:
            read = compat.read_workload(workload)
            workload_run_id = read.workload_run_id
            item = _prepare(context, read, target)
        except Exception as error:  # noqa: BLE001 - a bad task fails alone, whatever is wrong with it
            key = compat.key_of(workload)
            _refuse(context, key, why_not(error, key), workload_run_id)
            continue
        prepared.append(item)
        yield item


def _prepare(context: Context, workload: Workload, target: Target) -> _Prepared:
    key, given = workload.key, workload.pre_assigned_id if context.trusts_ids else ""
    if workload.kind == "callback":
        # Airflow locks no rows of callbacks, so several schedulers may queue the same one.
        given = workload.id
    # A new id stays the same when the submission is repeated.
    made_ids = context.pending.made_ids
    attempt = AttemptId(given) if given else made_ids.setdefault(key, AttemptId(str(uuid4())))
    work = make_work(context, workload, attempt=attempt, target=target)
    submission = context.pool_of(work).prepare(work)
    tracked = Tracked(
        attempt=attempt,
        key=key,
        kind=workload.kind,
        workload_id=workload.id,
        pool=submission.pool,
        queue=work.queue,
        state=State.SUBMITTED,
        generation=0,
        since=context.clock(),
        workload_run_id=workload.workload_run_id,
        target=target.name,
        profile=target.profile,
        placed_since=context.clock(),
        try_number=int(workload.fields.get("try_number", 1)),
    )
    return _Prepared(submission=submission, tracked=tracked, work=work, is_new_id=not given)


def _take(context: Context, item: _Prepared) -> None:
    """Track what has been recorded."""
    tracked = item.tracked
    context.pending.made_ids.pop(tracked.key, None)
    context.reports.taken(tracked.key)
    context.track(tracked)
    if context.pool_of(item.work).has_own_broker:
        context.pending.unsent[tracked.attempt] = item.work
    if item.is_new_id and tracked.kind == "task":
        context.reports.assigned(tracked)
    if tracked.state.is_terminal:
        context.pending.to_read.add(tracked.attempt)


def _refuse(context: Context, key: WorkloadKey, reason: str, workload_run_id: str) -> None:
    context.pending.made_ids.pop(key, None)
    context.reports.refused(key, context.settings.words(reason), workload_run_id)
    context.metrics.count(metric.REJECTED)


def publish_unsent(context: Context) -> None:
    """Send the messages of recorded work to a broker of its own; what it does not accept is sent the next time.

    :raises StoreUnavailable: what was sent could not be recorded; it is sent again, which the claim makes harmless.
    """
    pending = context.pending
    for pool in context.pools.values():
        batch = [work for work in pending.unsent.values() if context.pool_of(work) is pool]
        unsent = {work.attempt for work in publish(context, pool, batch)}
        for work in batch:
            if work.attempt not in unsent:
                del pending.unsent[work.attempt]


def fail_refused(context: Context) -> None:
    """Fail the attempts whose message the broker will never accept.

    :raises StoreUnavailable: Redis could not be asked; they are failed the next time.
    """
    refused = context.pending.refused
    for attempt, reason in list(refused.items()):
        tracked = context.ledger.get(attempt)
        if tracked is not None:
            context.fail(tracked, reason)
        del refused[attempt]


def why_not(error: Exception, subject: object) -> str:
    """Return in words why one workload cannot be submitted; an unexpected error is logged with its traceback."""
    if isinstance(error, TaskRejected):
        return str(error)
    log.error("A workload could not be prepared and fails alone: %s\n%s", subject, traceback_of(error))
    return f"The task could not be submitted: {hide_secrets(f'{type(error).__name__}: {error}')}"


def make_work(
    context: Context,
    workload: Workload,
    *,
    attempt: AttemptId,
    target: Target,
    expected_generation: int = 0,
    because: str = "",
    only_waits: bool = False,
    launches_here: int = 0,
) -> Work:
    """Return ``workload`` for a target of its queue's route.

    :param because, only_waits: see :class:`~hybrid_executor.store.Placement`.
    :param launches_here: how often it has been launched again on this target.
    """
    queue = workload.queue or context.default_queue
    route = context.settings.routes.find(queue)
    pods_left = None
    if target.pool == "kubernetes" and target.tries is not None and _has_next(context, route, target):
        pods_left = target.tries - (int(workload.fields.get("try_number", 1)) - 1) - launches_here
    return Work(
        attempt=attempt,
        owner=context.owner,
        kind=workload.kind,
        workload_id=workload.id,
        queue=queue,
        payload=workload.airflow.model_dump_json(),
        executor_config=workload.executor_config,
        profile=context.settings.profile_of(target),
        fields=workload.fields,
        expected_generation=expected_generation,
        pool=target.pool,
        placement=Placement(
            target=target.name,
            route=route.pattern if route.is_elastic else "",
            most=target.most or 0,
            because=because,
            only_waits=only_waits,
        ),
        pods_left=pods_left,
    )


def _has_next(context: Context, route: Route, target: Target) -> bool:
    return any(later.pool in context.pools for later in route.after(target.name))


def publish(context: Context, pool: RecordedPool, batch: Sequence[Work]) -> list[Work]:
    """Send the messages of recorded work where the pool has a broker of its own; return what it did not accept.

    What it accepted is marked in the record, so that a scheduler that adopts it knows what was never sent. What it will
    never accept is pending to be failed.
    """
    if not batch or not pool.has_own_broker:
        return []
    unsent = pool.publish(batch)
    context.pending.refused.update((work.attempt, reason) for work, reason in pool.take_refused())
    missed = {work.attempt for work in unsent}
    context.store.attempts.annotate({work.attempt: {SENT_FIELD: "1"} for work in batch if work.attempt not in missed})
    return unsent
