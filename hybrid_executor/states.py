"""The states of an attempt and which may follow which: the one place that says so.

The store's scripts enforce what they are told; they are told :func:`sources_of`.
"""

from __future__ import annotations

from enum import Enum
from functools import cache


class State(str, Enum):
    """Where an attempt stands.

    ``lost`` is a suspicion: its holder is gone and its owner has yet to decide whether it is submitted again (its task
    never started) or failed.
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
    """Never written: the record holds no state that this release knows. It is left alone; a newer release wrote it."""

    @property
    def is_terminal(self) -> bool:
        """Nothing can follow."""
        return self in _TERMINAL

    @property
    def is_started(self) -> bool:
        """The attempt is with a worker or in a running pod; it no longer needs its payload."""
        return self in _STARTED


_TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.REVOKED})
_STARTED = frozenset({State.RUNNING, State.LOST}) | _TERMINAL

TERMINAL_STATES = tuple(state for state in State if state in _TERMINAL)

# Pods skip states when nobody watched in between: a relist may find a pod finished whose launch was never recorded.
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
    """Return the states that ``new`` may follow, in declaration order."""
    return tuple(old for old in State if may_follow(old, new))
