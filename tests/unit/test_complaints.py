"""Complaints: what is logged of trouble that lasts."""

from __future__ import annotations

import logging

import pytest

from hybrid_executor.complaints import Complaints


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


def test_a_trouble_with_a_known_cause_is_reported_once_for_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    complaints = Complaints(clock=lambda: now[0])
    assert complaints.report("redis", "refused: %s", "at noon", cause="OOM", level=logging.ERROR)
    assert not complaints.report("redis", "refused: %s", "a second later", cause="OOM", level=logging.ERROR)
    assert complaints.report("redis", "refused: %s", "otherwise", cause="READONLY", level=logging.ERROR)
    complaints.settle("redis", "back", level=logging.WARNING)
    now[0] = 0.9
    assert not complaints.report("redis", "refused: %s", "by another thread", cause="READONLY", level=logging.ERROR)
    now[0] = 1.0
    assert complaints.report("redis", "refused: %s", "again", cause="READONLY", level=logging.ERROR)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: at noon",
        "refused: otherwise",
        "back",
        "refused: again",
    ]
