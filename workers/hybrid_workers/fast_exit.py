"""A task's slot is free as soon as its process has gone.

Airflow's supervisor waits in ``select`` for what the task process writes, for up to ``[workers]
min_heartbeat_interval`` (5 s). A process that has closed its ends and then exits wakes nobody, so most of a short
task's slot is that wait. Here the process itself is put among what the supervisor waits for.

Promises: only the wait ends sooner; which sockets are read to their end, what is sent to the API server and when is
Airflow's own code. Where the platform or the Task SDK looks different from what is expected, nothing is changed.
"""

from __future__ import annotations

import logging
import os
import selectors
from typing import Any

from hybrid_workers.supervision import Method, add_to_method, find_class

log = logging.getLogger(__name__)

_READERS = "_register_pipe_readers"


class ProcessEnd:
    """The end of a process as something to wait for: readable once it has exited."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """Return what selectors need."""
        return self._fd

    def close(self) -> None:
        """Stop watching; may be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def end_waits_with_the_process(supervised: type | None = None) -> bool:
    """Let supervisors of this process notice at once that what they supervise has exited.

    :param supervised: the Task SDK's class of a supervised process; found by itself by default.
    :return: whether it could be done.
    """
    if not hasattr(os, "pidfd_open"):
        return False
    return add_to_method(supervised or find_class("WatchedSubprocess"), _READERS, _watching_the_process)


def _watching_the_process(register: Method) -> Method:
    def register_process_too(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = register(self, *args, **kwargs)
        _watch(self)
        return answer

    return register_process_too


def _watch(process: Any) -> None:
    """Add a process's end to its supervisor's selector, if that holds what Airflow's loop is known to handle."""
    selector, pid = getattr(process, "selector", None), getattr(process, "pid", None)
    if not isinstance(selector, selectors.BaseSelector) or not isinstance(pid, int):
        return
    if not all(_is_reader_and_closer(key.data) for key in selector.get_map().values()):
        return
    try:
        end = ProcessEnd(pid)
    except OSError as error:
        log.debug("The end of process %s cannot be waited for: %s", pid, error)
        return

    def has_more(_: object) -> bool:
        return False

    def stop_watching(_: object) -> None:
        selector.unregister(end)

    selector.register(end, selectors.EVENT_READ, (has_more, stop_watching))


def _is_reader_and_closer(data: object) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and all(callable(part) for part in data)
