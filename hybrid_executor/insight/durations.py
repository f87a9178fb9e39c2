"""Times in words."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """Return a duration as people say it: "12 s", "3 min", "2 h 5 min", "4 d"."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def some(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 task", "3 tasks"."""
    return f"{count} {one if count == 1 else many or one + 's'}"
