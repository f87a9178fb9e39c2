"""Attempts that wait go on to the next target of their route: they waited too long, or their last worker is gone.

A move is one step on the record, and only of an attempt that nothing can have started: the script refuses it if a
worker or an agent was first. The message or the launch that is left behind is of an older generation and can start
nothing. So one that waits for a worker or for its turn in an agent moves at once. One that has a pod, or whose pod is
being created, is to leave first: an agent deletes the pod, and when it is gone for certain, the attempt is moved. While
the next target is full, an attempt stays where it is and may still start there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from hybrid_executor.events import AttemptId
from hybrid_executor.executor.admission import Room
from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.resubmission import Plan, end, queued_workloads, send, stored_workloads
from hybrid_executor.metrics import table as metric
from hybrid_executor.routing import Route
from hybrid_executor.states import State
from hybrid_executor.targets import Target

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_STEP_SECONDS = 0.3
_AT_ONCE = 50
_MOST_LEAVING = 500
_ASK_AGAIN_SECONDS = 10.0
_FOUND_SECONDS = 30.0  # another agent takes a silent one's watch over after 15 s, and lists all pods then
_HAS_POD = frozenset({State.LAUNCHING, State.PENDING})


class Moves:
    """Looks every second which attempts are to go on, and moves as many as a short step allows; the rest follows."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_needed = any(len(self._recorded(route.targets)) > 1 for route in context.settings.routes.routes)
        self._timer = Timer(_EVERY_SECONDS, context.clock)
        self._told_at: dict[AttemptId, float] = {}

    def step(self) -> None:
        """Move what is due. No round trip while nothing waits for a target with such a condition.

        :raises StoreUnavailable: Redis could not be asked; the next step goes on.
        """
        if not self._is_needed or not self._timer.is_due():
            return
        context = self._context
        if len(context.ledger):
            context.placing.ask()
        due = list(self._due())
        self._told_at = {t.attempt: self._told_at[t.attempt] for t, _ in due if t.attempt in self._told_at}
        plans, leaving = self._plan(due, context.placing.room()) if due else ([], [])
        self._let_leave(leaving)
        until = context.clock() + _STEP_SECONDS
        while plans and context.clock() < until:
            self._move(plans[:_AT_ONCE])
            plans = plans[_AT_ONCE:]
        if not plans:
            self._timer.restart()

    def _due(self) -> Iterator[tuple[Tracked, str]]:
        """Yield the attempts that are to go on, each with the condition that it does not meet."""
        now = self._context.clock()
        for tracked in self._context.ledger:
            if tracked.stays and not tracked.leaving:
                continue
            if tracked.state is not State.SUBMITTED and tracked.state not in _HAS_POD:
                continue
            because = tracked.leaving or self._why(tracked, now)
            if because:
                yield tracked, because

    def _why(self, tracked: Tracked, now: float) -> str:
        target = self._route(tracked).find(tracked.target)
        if target is None:
            return ""
        if tracked.pool == "kubernetes" and not self._context.outage.can_tell_silence(_FOUND_SECONDS):
            return ""  # if Redis has lost data, there may be a pod that an agent has yet to find
        if target.wait_seconds is not None and now - tracked.placed_since >= target.wait_seconds:
            return "wait"
        return "served" if target.is_served and self._context.placing.has_lost(tracked.queue) else ""

    def _plan(self, due: Sequence[tuple[Tracked, str]], room: Room) -> tuple[list[Plan], list[tuple[Tracked, str]]]:
        """Return what is moved, the longest waiting first, and what has to lose its pod before."""
        plans: list[Plan] = []
        leaving: list[tuple[Tracked, str]] = []
        for tracked, because in sorted(due, key=lambda item: item[0].placed_since):
            route = self._route(tracked)
            current = route.find(tracked.target)
            target = room.move(
                route,
                current,
                targets=self._recorded(route.after(tracked.target)),
                queue=tracked.queue,
                try_number=tracked.try_number,
            )
            has_pod = tracked.state in _HAS_POD
            if target is None and tracked.leaving and tracked.leaving != "tries" and not has_pod:
                target = current  # its pod is gone, and its place on the next target too
            if target is None:
                continue
            if has_pod:
                leaving.append((tracked, because))
            else:
                plans.append(
                    Plan(
                        tracked=tracked,
                        target=target,
                        expected_generation=tracked.generation,
                        because=because,
                        only_waits=True,
                    )
                )
        return plans, leaving

    def _let_leave(self, leaving: Sequence[tuple[Tracked, str]]) -> None:
        now = self._context.clock()
        untold = [
            (tracked, because)
            for tracked, because in leaving
            if now - self._told_at.get(tracked.attempt, float("-inf")) >= _ASK_AGAIN_SECONDS
        ][:_MOST_LEAVING]
        for because in sorted({because for _, because in untold}):
            told = [tracked for tracked, why in untold if why == because]
            answers = self._context.store.places.leave({t.attempt: t.generation for t in told}, because=because)
            for tracked, is_leaving in zip(told, answers, strict=True):
                self._told_at[tracked.attempt] = now
                if is_leaving:
                    log.info("Attempt %s is to leave target %s (%s)", tracked.attempt, tracked.target, because)
                    tracked.leaving = because
                else:
                    self._context.pending.to_read.add(tracked.attempt)

    def _move(self, plans: Sequence[Plan]) -> None:
        context = self._context
        workloads = {
            **queued_workloads(context, [plan.tracked for plan in plans]),
            **stored_workloads(context, [plan.tracked for plan in plans if plan.tracked.kind != "task"]),
        }
        before = {plan.tracked.attempt: plan.tracked.target for plan in plans}
        from_workers = {plan.tracked.attempt for plan in plans if plan.tracked.pool == "celery"}
        known = [plan for plan in plans if plan.tracked.attempt in workloads]
        for plan in send(context, known, workloads):
            log.info(
                "Attempt %s has gone on from target %s to %s (%s)",
                plan.tracked.attempt,
                before[plan.tracked.attempt],
                plan.target.name,
                plan.because,
            )
            if plan.tracked.attempt in from_workers:
                context.pending.left_queues.add(plan.tracked.queue)
            context.metrics.count(metric.MOVED, target=plan.target.name, queue=plan.tracked.queue, reason=plan.because)
        for plan in plans:
            if plan.tracked.attempt not in workloads:
                self._without_task(plan.tracked)

    def _without_task(self, tracked: Tracked) -> None:
        """End an attempt that has no workload any more, if nothing can start it; else let it wait where it is."""
        if tracked.leaving:
            end(self._context, tracked)
        else:
            tracked.stays = True

    def _route(self, tracked: Tracked) -> Route:
        return self._context.settings.routes.find(tracked.queue)

    def _recorded(self, targets: Sequence[Target]) -> list[Target]:
        """Return the targets whose attempts have records: no attempt moves to another kind of target."""
        return [target for target in targets if target.pool in self._context.pools]
