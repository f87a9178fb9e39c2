"""Delays between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybrid_executor.backoff import CREATE, DENIED, RECONNECT, Backoff


def test_delays_double_up_to_a_limit_and_are_spread_by_half() -> None:
    backoff = Backoff(first_seconds=1, most_seconds=10)
    assert [backoff.seconds(failures, jitter=1.0) for failures in range(1, 6)] == [1, 2, 4, 8, 10]
    assert backoff.seconds(3, jitter=0.0) == 2.0
    assert backoff.seconds(10_000, jitter=1.0) == 10.0
    assert DENIED.first_seconds > RECONNECT.first_seconds


def test_delays_of_refused_pods_double_up_to_a_minute() -> None:
    assert [CREATE.seconds(failures, jitter=1.0) for failures in (1, 2, 3, 6, 7, 50)] == [1, 2, 4, 32, 60, 60]
    assert CREATE.seconds(3, jitter=0.0) == 2.0


def test_without_jitter_the_whole_delay_is_waited() -> None:
    assert Backoff(first_seconds=0.5, most_seconds=10).seconds(2) == 1.0


@given(st.integers(0, 200), st.floats(0, 1), st.floats(0, 600))
def test_no_delay_is_shorter_than_the_server_asked_for(failures: int, jitter: float, asked: float) -> None:
    delay = CREATE.seconds(failures, jitter=jitter, retry_after=asked)
    assert delay >= asked
    assert 0.5 <= delay <= max(60.0, asked + 1)
