"""Orders to workers and agents: they go through Redis, and a member obeys within about a second.

An operation waits until the member's own announcement shows the new state.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybrid_executor.operations.done import Done, Report
from hybrid_executor.store import Member, Order, Store
from hybrid_executor.store.presence import Role

OBEYED_SECONDS = 15.0
_LOOK_SECONDS = 0.2

IsDone = Callable[[Member | None], bool]
"""Says from a member's announcement whether it has obeyed; ``None`` where the process that was meant is gone."""
Describe = Callable[[Member | None], str]


def state_of(member: Member | None) -> str:
    """Return what a member says of itself, such as "draining"; "gone" for one that is not alive."""
    return member.fields.get("state", "") if member is not None and member.is_alive else "gone"


def names_in(member: Member | None, field: str) -> set[str]:
    """Return the names that a member announces in a field, where they are separated by commas."""
    return {name for name in (member.fields.get(field, "") if member else "").split(",") if name}


def count_in(member: Member, field: str) -> int:
    """Return how much a field of an announcement counts: a list's length, or the sum of an object's numbers.

    0 where it cannot be read.
    """
    try:
        found = json.loads(member.fields.get(field) or "[]")
        return sum(int(number) for number in found.values()) if isinstance(found, dict) else len(found)
    except (ValueError, TypeError):
        return 0


@dataclass(frozen=True, kw_only=True)
class Members:
    """How members of one role are told something, and how their state is put into words.

    :ivar late: what to say of one that has not obeyed in time.
    """

    role: Role
    describe: Describe
    late: str

    def command(
        self, store: Store, chosen: Sequence[Member], order: Order, is_done: IsDone, *, seconds: float, report: Report
    ) -> list[Done]:
        """Give an order, and wait until members have obeyed; see :meth:`wait`.

        An older release of ours, which takes no orders, gets none.
        """
        for member in chosen:
            if life := member.fields.get("life"):
                store.orders.give(life, order)
        return self.wait(store, chosen, is_done, seconds=seconds, report=report)

    def wait(
        self, store: Store, chosen: Sequence[Member], is_done: IsDone, *, seconds: float | None, report: Report
    ) -> list[Done]:
        """Wait until members are as wanted; return what became of each.

        :param seconds: how long to wait, ``None`` for ever.
        :raises StoreUnavailable: Redis could not be asked.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        left = {member.name: member.fields.get("life", "") for member in chosen}
        results: list[Done] = []

        def conclude(name: str, is_there: bool, words: str) -> None:
            del left[name]
            results.append(Done(item=name, is_done=is_there, words=words))
            report(results[-1])

        for name in [name for name, life in left.items() if not life]:
            conclude(name, False, "is of an older release, which takes no orders: restart it with this release")
        while left:
            found = {member.name: member for member in store.presence.members(self.role)}
            for name, life in list(left.items()):
                member = found.get(name)
                if member is not None and member.fields.get("life") != life:
                    member = None
                if is_done(member):
                    conclude(name, True, self.describe(member))
            if left and deadline is not None and time.monotonic() >= deadline:
                for name in list(left):
                    conclude(name, False, self.late)
            if left:
                time.sleep(_LOOK_SECONDS)
        return results
