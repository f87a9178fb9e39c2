"""Slots, counted per pool: a full pool never takes another's."""

from __future__ import annotations

from collections.abc import Mapping


def free_slots(limits: Mapping[str, int], occupied: Mapping[str, int]) -> dict[str, int]:
    """Return the free slots of each pool, never below zero."""
    return {pool: max(0, limit - occupied.get(pool, 0)) for pool, limit in limits.items()}
