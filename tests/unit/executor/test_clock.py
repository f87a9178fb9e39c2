"""Timers go by the clock that they are given."""

from __future__ import annotations

from hybrid_executor.executor.clock import Timer


def test_a_timer_is_due_at_once_and_again_when_its_interval_is_over() -> None:
    now = 100.0
    timer = Timer(10, lambda: now)
    assert timer.is_due()
    timer.restart()
    now += 9
    assert not timer.is_due()
    now += 1
    assert timer.is_due()
    assert timer.is_due()
