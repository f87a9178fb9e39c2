"""numpy's random numbers: the processes that are forked from one that has imported it would all draw the same ones."""

from __future__ import annotations

import sys
from typing import Any

# Only a generator that was neither seeded nor used stands at this place and has none of a pair left.
_UNTOUCHED = (623, 0)


def is_untouched() -> bool:
    """Return whether nothing in this process has seeded or used numpy's generator, or it is not there."""
    numpy = _module()
    if numpy is None:
        return True
    state = numpy.get_state()
    return isinstance(state, tuple) and state[2:4] == _UNTOUCHED


def reseed() -> None:
    """Let what is forked next draw other numbers than what was forked before, unless they were chosen by a seed."""
    numpy = _module()
    if numpy is not None and is_untouched():
        numpy.seed()


def _module() -> Any:
    return sys.modules.get("numpy.random")
