"""Repairing what does not fit together: what is certainly safe at once, the rest by those who alone may do it.

Everything that changes a record goes through the store's own scripts, as the repairs of schedulers and agents do. What
only the scheduler that is responsible, or an agent, may decide is left to them: they are asked to do their timed
repairs now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.operations.differences import Difference, find_differences
from hybrid_executor.operations.snapshot import Snapshot
from hybrid_executor.store import Order, Outcome, Store

REASON = "Revoked by 'airflow hybrid reconcile': Airflow does not wait for it"
_SECOND_LOOK_SECONDS = 2.0
_LOOK_SECONDS = 2.0

TakeSnapshot = Callable[[], Snapshot]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two looks have found.

    :ivar differences: those that both looks have found. :ivar unasked: what could not be asked, in words.
    """

    differences: Sequence[Difference]
    unasked: Sequence[str]
    snapshot: Snapshot = field(repr=False)


def compare(look: TakeSnapshot, *, pause_seconds: float = _SECOND_LOOK_SECONDS) -> Comparison:
    """Look once, and again where something does not fit, since a running deployment changes meanwhile.

    :raises StoreUnavailable: Redis could not be asked.
    :raises HybridError: Airflow's database could not be asked.
    """
    seen = look()
    found = find_differences(seen)
    if found:
        time.sleep(pause_seconds)
        seen, earlier = look(), {item.key for item in found}
        found = [item for item in find_differences(seen) if item.key in earlier]
    return Comparison(differences=found, unasked=seen.unasked, snapshot=seen)


def repair(store: Store, comparison: Comparison) -> dict[tuple[str, str, int], str]:
    """Repair what this process may, and ask schedulers and agents for the rest; return what was done, by key.

    May be repeated at any time.

    :raises StoreUnavailable: Redis could not be asked.
    """
    seen = comparison.snapshot
    done: dict[tuple[str, str, int], str] = {}
    for item in comparison.differences:
        if item.repairer == "this command":
            done[item.key] = _repair_one(store, seen, item)
    wanted = {item.repairer for item in comparison.differences}
    if "scheduler" in wanted:
        for job in sorted(seen.schedulers):
            store.orders.give(job, Order("repair"))
    if "agent" in wanted:
        for agent in seen.agents:
            if life := agent.fields.get("life"):
                store.orders.give(life, Order("repair"))
    for item in comparison.differences:
        if words := _asked(item, seen):
            done[item.key] = words
    return done


def await_repairs(
    look: TakeSnapshot, comparison: Comparison, *, seconds: float, every_seconds: float = _LOOK_SECONDS
) -> list[Difference]:
    """Wait until schedulers and agents have repaired what they were asked for; return the differences that are left.

    :raises StoreUnavailable: Redis could not be asked.
    """
    deadline = time.monotonic() + seconds
    known = {item.key for item in comparison.differences}
    while True:
        left = [item for item in find_differences(look()) if item.key in known]
        is_awaited = any(_is_asked(item, comparison.snapshot) for item in left)
        if not is_awaited or time.monotonic() >= deadline:
            return left
        time.sleep(min(every_seconds, max(0.0, deadline - time.monotonic())))


def _repair_one(store: Store, seen: Snapshot, item: Difference) -> str:
    if item.kind == "ended in a set":
        return _clean(store, item.subject)
    attempt = AttemptId(item.subject)
    record = seen.records[attempt]
    assert record is not None
    if item.kind == "missing in a set":
        store.attempts.adopt([attempt], owner=record.owner)
        return "added to the set"
    if item.kind == "no launch":
        store.launches(record.cluster, consumer="").put_again(attempt, generation=record.generation)
        return "put on the launch stream again"
    [claim] = store.attempts.revoke([attempt], reason=REASON)
    return "revoked" if claim.outcome is Outcome.CHANGED else f"not revoked: it is {claim.state or 'gone'} now"


def _clean(store: Store, name: str) -> str:
    kind, _, owner = name.partition(":")
    if kind == "live":
        cursor = store.attempts.sweep(owner)
        while cursor:
            cursor = store.attempts.sweep(owner, cursor=cursor)
    else:
        store.attempts.forget_ended(store.attempts.owned_by(OwnerId(owner)), owner=OwnerId(owner))
    return "removed from the set"


def _is_asked(item: Difference, seen: Snapshot) -> bool:
    return bool({"scheduler": seen.schedulers, "agent": seen.agents}.get(item.repairer))


def _asked(item: Difference, seen: Snapshot) -> str:
    if item.repairer == "scheduler":
        return "asked the schedulers to repair now" if seen.schedulers else "no scheduler is alive: start one"
    if item.repairer == "agent":
        return "asked the agents to repair now" if seen.agents else "no agent is alive: start one"
    return ""
