"""A scheduler that waits for events learns that Airflow knows a task's success, before its process has ended.

A task tells the API server that it has succeeded. Only then its callbacks and listeners run, and its process ends.
That takes tens of milliseconds at least. Schedulers look for what follows meanwhile.

Promises: what the API server is told and when is Airflow's own code, and a hint that cannot be given changes nothing.
Where the Task SDK looks different from what is expected, nothing is changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store
from hybrid_workers.supervision import Method, add_to_method, find_class

log = logging.getLogger(__name__)

_HANDLER = "_handle_request"
_SUCCESS = "SucceedTask"
_PAUSE_SECONDS = 60.0  # the supervisor of a task must not wait for Redis again and again


class TaskHints:
    """Gives hints about the attempt that this process runs.

    :param store: returns the store of this process.
    """

    def __init__(self, store: Callable[[], Store], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._attempt: AttemptId | None = None
        self._not_before = float("-inf")

    def begin(self, attempt: AttemptId) -> None:
        """Note which attempt runs from now on."""
        self._attempt = attempt

    def give(self) -> None:
        """Say that Airflow knows its success. Raises nothing."""
        attempt, self._attempt = self._attempt, None
        if attempt is None or self._clock() < self._not_before:
            return
        try:
            self._store().hints.give(attempt)
        except HybridError as error:
            log.debug("No scheduler learns now that attempt %s has succeeded: %s", attempt, error)
            self._not_before = self._clock() + _PAUSE_SECONDS


def give_hints(hints: TaskHints, supervised: type | None = None) -> bool:
    """Let supervisors of this process give hints. Call it once in each slot.

    :param supervised: the Task SDK's class of a supervised task; found by itself by default.
    :return: whether it could be done.
    """
    return add_to_method(supervised or find_class("ActivitySubprocess"), _HANDLER, _giving(hints))


def _giving(hints: TaskHints) -> Callable[[Method], Method]:
    def make(handle: Method) -> Method:
        def handle_and_give(self: Any, msg: Any, *args: Any, **kwargs: Any) -> Any:
            answer = handle(self, msg, *args, **kwargs)
            if type(msg).__name__ == _SUCCESS:
                hints.give()
            return answer

        return handle_and_give

    return make
