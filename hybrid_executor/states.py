"""The states of an attempt, and which state may follow which. Nothing else decides this.

The store passes :func:`sources_of` to its scripts, which enforce it.
"""

from __future__ import annotations

from enum import Enum
from functools import cache


class State(str, Enum):
    """The state of an attempt.

    ``lost`` is not final: the holder is gone, and the owner decides whether the attempt is submitted again (its task
    never started) or has failed.
    """

    SUBMITTED = "submitted"
    LAUNCHING = "launching"
    PENDING = "pending"
    RUNNING = "running"
    LOST = "lost"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    """A state of a newer release, which this release does not know. Such a record is not changed."""

    @property
    def is_terminal(self) -> bool:
        """No other state can follow."""
        return self in _TERMINAL

    @property
    def is_started(self) -> bool:
        """The attempt is with a worker or in a running pod; it no longer needs its payload."""
        return self in _STARTED


_TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.REVOKED})
_STARTED = frozenset({State.RUNNING, State.LOST}) | _TERMINAL

TERMINAL_STATES = tuple(state for state in State if state in _TERMINAL)

# A pod can skip states if no agent watched it: a relist may find a finished pod whose launch was never recorded.
_FOLLOWERS: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.LAUNCHING, State.PENDING, State.RUNNING}),
    State.LAUNCHING: frozenset({State.SUBMITTED, State.PENDING, State.RUNNING}),
    State.PENDING: frozenset({State.SUBMITTED, State.RUNNING}),
    State.RUNNING: frozenset({State.SUBMITTED}),
    State.LOST: frozenset({State.SUBMITTED, State.RUNNING}),
    State.UNKNOWN: frozenset(),
}
_FROM_ANY_LIVE = frozenset({State.SUCCEEDED, State.FAILED, State.REVOKED, State.LOST})


def may_follow(old: State, new: State) -> bool:
    """Return whether an attempt in state ``old`` may change to ``new``. A state does not follow itself."""
    if old.is_terminal or old == new:
        return False
    return new in _FROM_ANY_LIVE or new in _FOLLOWERS[old]


@cache
def sources_of(new: State) -> tuple[State, ...]:
    """Return the states that ``new`` may follow, in the order of :class:`State`."""
    return tuple(old for old in State if may_follow(old, new))
