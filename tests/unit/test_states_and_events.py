"""Which state may follow which, and what an event holds."""

from __future__ import annotations

import pytest

from hybrid_executor.events import decode_event
from hybrid_executor.states import TERMINAL_STATES, State, may_follow, sources_of

LIVE_STATES = [state for state in State if not state.is_terminal]


def test_three_states_are_terminal() -> None:
    assert set(TERMINAL_STATES) == {State.SUCCEEDED, State.FAILED, State.REVOKED}


@pytest.mark.parametrize("old", TERMINAL_STATES)
@pytest.mark.parametrize("new", State)
def test_nothing_follows_a_terminal_state(old: State, new: State) -> None:
    assert not may_follow(old, new)


@pytest.mark.parametrize("old", LIVE_STATES)
def test_every_live_attempt_can_end_or_be_lost(old: State) -> None:
    ends = {new for new in State if may_follow(old, new)}
    assert ends >= {State.SUCCEEDED, State.FAILED, State.REVOKED}
    assert (State.LOST in ends) == (old is not State.LOST)


def test_no_state_follows_itself() -> None:
    assert not any(may_follow(state, state) for state in State)


def test_sources_are_the_states_that_may_be_followed() -> None:
    assert sources_of(State.PENDING) == (State.SUBMITTED, State.LAUNCHING)
    assert sources_of(State.SUBMITTED) == (State.LAUNCHING, State.PENDING, State.RUNNING, State.LOST)
    assert sources_of(State.LAUNCHING) == (State.SUBMITTED,)


def test_an_event_is_decoded_and_fields_of_newer_versions_are_ignored() -> None:
    event = decode_event(
        "5-1", {"attempt": "a", "state": "running", "generation": "2", "owner": "1", "pool": "celery", "new": "x"}
    )
    assert (event.attempt, event.generation, event.reason) == ("a", 2, "")


def test_an_entry_without_an_attempt_is_no_event() -> None:
    with pytest.raises(KeyError):
        decode_event("5-1", {"state": "running"})
