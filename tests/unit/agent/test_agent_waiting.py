"""Gates, back-offs and complaints: everything that is asked what time it is."""

from __future__ import annotations

import logging

import pytest

from hybrid_executor.agent.backoff import DENIED, RECONNECT, Backoff
from hybrid_executor.agent.complaints import Complaints
from hybrid_executor.agent.namespace_gate import NamespaceGate


def close(gate: NamespaceGate, now: float, *, retry_after: float = 0.0) -> float:
    return gate.close("ns", reason="full", retry_after=retry_after, jitter=1.0, now=now)


def test_an_open_namespace_admits_everybody() -> None:
    gate = NamespaceGate()
    assert [gate.admit("ns", now=0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_closed_namespace_admits_one_probe_when_its_time_is_over() -> None:
    gate = NamespaceGate()
    seconds = close(gate, 100.0)
    assert seconds == 1.0
    assert gate.admit("ns", now=100.5) == pytest.approx(0.5)
    assert gate.admit("other", now=100.5) == 0.0
    assert gate.admit("ns", now=101.0) == 0.0
    assert gate.admit("ns", now=101.0) > 0.0


def test_each_failed_probe_closes_for_longer() -> None:
    gate, now, closed = NamespaceGate(), 0.0, []
    for _ in range(4):
        closed.append(close(gate, now))
        now += closed[-1]
        assert gate.admit("ns", now=now) == 0.0
    assert closed == [1.0, 2.0, 4.0, 8.0]


def test_launches_that_were_under_way_when_it_closed_do_not_close_it_for_longer() -> None:
    gate = NamespaceGate()
    close(gate, 0.0)
    assert close(gate, 0.4) == pytest.approx(0.6)


def test_a_namespace_stays_closed_for_as_long_as_the_server_asked() -> None:
    assert close(NamespaceGate(), 0.0, retry_after=30.0) >= 30.0


def test_one_created_pod_opens_the_namespace_for_all() -> None:
    gate = NamespaceGate()
    close(gate, 0.0)
    assert gate.reason("ns") == "full"
    assert gate.open("ns")
    assert gate.admit("ns", now=0.1) == 0.0
    assert gate.reason("ns") == ""
    assert not gate.open("ns")


def test_a_probe_that_never_reports_back_is_forgotten() -> None:
    gate = NamespaceGate()
    close(gate, 0.0)
    assert gate.admit("ns", now=1.0) == 0.0
    assert gate.admit("ns", now=100.0) == 0.0


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
