"""The targets of elastic routes: how full each is, who came from elsewhere, and what none of them takes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hybrid_executor.config import Settings
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.facts import Facts
from hybrid_executor.insight.members import WorkerView
from hybrid_executor.routing import Route
from hybrid_executor.store import Record
from hybrid_executor.targets import Target

_NO_WORKER = "no living worker serves the queue"
_BECAUSE = {
    "wait": "it had waited there for too long",
    "tries": "that target takes no later try",
    "served": "no living worker served the queue",
}


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """One target of a route that has several targets, or conditions.

    :ivar route: the pattern of the route. :ivar target: without its conditions.
    :ivar used: live attempts of the route on this target. :ivar most: how many there may be, ``None`` for no limit.
    :ivar waiting: how many of them have not started.
    :ivar came: how many of them came from another target, by the condition that they did not meet there.
    :ivar closed: why it takes nothing now, "" if it does.
    """

    route: str
    target: str
    conditions: tuple[str, ...] = ()
    used: int = 0
    most: int | None = None
    waiting: int = 0
    came: Mapping[str, int] = field(default_factory=dict)
    closed: str = ""


def view_targets(facts: Facts, settings: Settings) -> tuple[TargetView, ...]:
    """Return the targets of all elastic routes, in their order.

    Targets that the routes do not name any more follow, if they still have attempts.
    """
    by_place: dict[tuple[str, str], list[Record]] = {}
    for record in facts.records:
        if record.route:
            by_place.setdefault((record.route, record.target), []).append(record)
    views = []
    for route in settings.routes.routes:
        if not route.is_elastic:
            continue
        queues = {record.queue for target in route.targets for record in by_place.get((route.pattern, target.name), ())}
        for target in route.targets:
            records = by_place.pop((route.pattern, target.name), [])
            closed = why_closed(target, used=len(records), workers=facts.workers, queues=queues or {route.pattern})
            views.append(_view(route.pattern, target.name, records, target=target, closed=closed))
    views += [
        _view(route, target, records, closed="the routes do not name it any more")
        for (route, target), records in sorted(by_place.items())
    ]
    return tuple(views)


def _view(
    route: str, name: str, records: Sequence[Record], *, target: Target | None = None, closed: str = ""
) -> TargetView:
    return TargetView(
        route=route,
        target=name,
        conditions=target.conditions if target else (),
        used=len(records),
        most=target.most if target else None,
        waiting=sum(not record.state.is_started for record in records),
        came=dict(sorted(Counter(record.moved_because for record in records if record.moves).items())),
        closed=closed,
    )


def why_closed(target: Target, *, used: int, workers: Iterable[WorkerView], queues: Iterable[str]) -> str:
    """Return why a target takes nothing now, "" if it does; whatever the try."""
    if target.most is not None and used >= target.most:
        return f"full: {used} of {target.most}"
    wanted = set(queues)
    if target.is_served and not any(worker.is_alive and wanted & set(worker.queues) for worker in workers):
        return _NO_WORKER
    return ""


def why_none_takes(
    route: Route, *, try_number: int, closed: Mapping[str, str], pools_full: Mapping[str, str]
) -> list[str]:
    """Return for each target why it does not take a try, as ``target: reason``; nothing if one of them does.

    :param closed: what :func:`why_closed` returned, by the target's name.
    :param pools_full: why a pool has no slot, by its name; pools with a free slot are missing.
    """
    found = []
    for target in route.targets:
        reason = closed.get(target.name, "") or pools_full.get(target.pool, "")
        if target.tries is not None and try_number > target.tries:
            reason = f"it takes only the first {_tries(target.tries)}"
        if not reason:
            return []
        found.append(f"{target.name}: {reason}")
    return found


def _tries(count: int) -> str:
    return "try" if count == 1 else f"{count} tries"


def goes_on(settings: Settings, record: Record) -> bool:
    """Return whether an attempt that nobody takes goes on to another target by itself."""
    if not record.route:
        return False
    route = settings.routes.find(record.queue)
    target = route.find(record.target)
    if target is None or not route.after(target.name):
        return False
    return target.wait_seconds is not None or target.is_served


def onward(settings: Settings, *, queue: str, target_name: str, waited: float) -> str:
    """Return where an attempt goes on to if it does not start, and when, as a sentence; "" if it stays.

    :param waited: seconds for which it has been on its target.
    """
    route = settings.routes.find(queue)
    target = route.find(target_name)
    if target is None or target.wait_seconds is None:
        return ""
    following = " or ".join(after.name for after in route.after(target.name))
    left = target.wait_seconds - waited
    when = f"in {in_words(left)}" if left > 0 else "as soon as there is room"
    return f"If it does not start here, it goes on to {following} {when}."


def moved_words(moved_from: str, because: str) -> str:
    """Return where an attempt came from and why, such as "from celery: it had waited there for too long"."""
    return f"from {moved_from}: {_BECAUSE.get(because, because)}"
