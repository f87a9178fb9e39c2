"""How many waiting pods of a profile start at the same time, and how long it is worth waiting for one of them. Pure.

Pods that start together on few nodes slow each other down, and the tasks that run there. Then it is better when the
first is ready early than when all are ready late. The same nodes would also start an attempt's own pod as slowly, so it
waits for a pod that starts already about as long as pods have lately taken.
"""

from __future__ import annotations

import math
from collections import deque

_FIRST, _FEWEST, _MOST = 4, 2, 64
_LOOK_SECONDS = 1.0
_QUICK, _SLOW = 1.5, 2.5
_LATELY = 4
_PATIENCE, _SHORTEST_SECONDS, _LONGEST_SECONDS = 1.5, 10, 60


class StartPace:
    """Grows as long as pods become ready about as quickly as the quickest one, and shrinks when they take much longer.

    :ivar at_once: most pods that start at the same time.
    """

    def __init__(self) -> None:
        self.at_once = _FIRST
        self._quickest = math.inf
        self._lately: deque[float] = deque(maxlen=_LATELY)

    @property
    def wait_seconds(self) -> int:
        """How long an attempt waits for a pod that starts, before it gets one of its own."""
        slowest = max(self._lately, default=0.0)
        return int(min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _PATIENCE * slowest)))

    def started(self, seconds: float) -> None:
        """Note how long a pod took from its creation until it was ready; it is looked at once a second."""
        self._lately.append(seconds)
        self._quickest = min(self._quickest, max(seconds, _LOOK_SECONDS))
        if seconds <= _QUICK * self._quickest + _LOOK_SECONDS:
            self.at_once = min(_MOST, self.at_once + 1)
        elif seconds > _SLOW * self._quickest + _LOOK_SECONDS:
            self.at_once = max(_FEWEST, self.at_once - 1)
