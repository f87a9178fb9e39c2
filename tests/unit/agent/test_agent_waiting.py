"""Back-offs and complaints: everything that is asked what time it is."""

from __future__ import annotations

import logging

import pytest

from hybrid_executor.agent.backoff import DENIED, RECONNECT, Backoff
from hybrid_executor.agent.complaints import Complaints


def test_delays_double_up_to_a_limit_and_are_spread_by_half() -> None:
    backoff = Backoff(first_seconds=1, most_seconds=10)
    assert [backoff.seconds(failures, jitter=1.0) for failures in range(1, 6)] == [1, 2, 4, 8, 10]
    assert backoff.seconds(3, jitter=0.0) == 2.0
    assert backoff.seconds(10_000, jitter=1.0) == 10.0
    assert DENIED.first_seconds > RECONNECT.first_seconds


def test_trouble_is_reported_when_it_begins_when_it_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    complaints = Complaints(clock=lambda: now[0])
    assert complaints.report("redis", "away: %s", "refused")
    assert not complaints.report("redis", "away: %s", "refused")
    assert not complaints.report("redis", "away: %s", "timed out")
    now[0] = 31.0
    assert not complaints.report("redis", "away: %s", "refused")
    assert complaints.report("redis", "away: %s", "timed out")
    complaints.settle("redis", "back")
    complaints.settle("redis", "back")
    assert [record.getMessage() for record in caplog.records] == ["away: refused", "away: timed out", "back"]
