"""Slots, counted per pool: a full pool never takes another's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def free_slots(limits: Mapping[str, int], occupied: Mapping[str, int]) -> dict[str, int]:
    """Return the free slots of each pool, never below zero."""
    return {pool: max(0, limit - occupied.get(pool, 0)) for pool, limit in limits.items()}


def admit(
    waiting: Iterable[tuple[Hashable, Item]],
    *,
    free: Mapping[str, int],
    pool_of: Callable[[Item], str],
    most: int | None = None,
) -> Sequence[Item]:
    """Return the workloads that may be submitted now, in order, as far as their pools have slots; at most ``most``."""
    room = Counter(free)
    admitted: list[Item] = []
    for _, workload in waiting:
        if most is not None and len(admitted) >= most:
            break
        pool = pool_of(workload)
        if room[pool] > 0:
            room[pool] -= 1
            admitted.append(workload)
    return admitted
