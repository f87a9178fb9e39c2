"""How many waiting pods start at the same time, and how long attempts wait for them."""

from __future__ import annotations

import pytest

from hybrid_executor.agent.warm.start_pace import StartPace


def after(*seconds: float) -> int:
    """Return how many may start once pods have taken so long."""
    pace = StartPace()
    for each in seconds:
        pace.started(each)
    return pace.at_once


@pytest.mark.parametrize(
    ("seconds", "at_once"),
    [
        ([], 4),
        ([3, 3, 4, 3], 8),
        ([0, 0, 2], 7),  # a second is as exact as it is looked at
        ([3, 7, 7], 5),
        ([3, 20, 20], 3),
        ([3, *[60] * 50], 2),
        ([3] * 500, 64),
    ],
    ids=["at first", "quick", "at once", "somewhat slower", "much slower", "never none", "never too many"],
)
def test_more_start_while_they_do_not_slow_each_other_down(seconds: list[float], at_once: int) -> None:
    assert after(*seconds) == at_once


@pytest.mark.parametrize(
    ("seconds", "waits"),
    [
        ([], 10),
        ([3], 10),
        ([20, 4], 30),
        ([20, 4, 4, 4, 4], 10),
        ([300], 60),
    ],
    ids=["at first", "quick", "as slow as the slowest of late", "of late", "never for ever"],
)
def test_attempts_wait_as_long_as_pods_take(seconds: list[float], waits: int) -> None:
    pace = StartPace()
    for each in seconds:
        pace.started(each)
    assert pace.wait_seconds == waits
