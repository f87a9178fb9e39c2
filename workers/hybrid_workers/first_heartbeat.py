"""A task's first heartbeat is sent when it is due, and not at once.

The request by which a task starts is a sign of life for Airflow's API server, too. The supervisor sends another one as
soon as the task's process has written anything: one of the five requests of a short task.

Promises: all other heartbeats are sent as before, ``[workers] min_heartbeat_interval`` after the last one. Where the
Task SDK looks different from what is expected, nothing is changed.
"""

from __future__ import annotations

from typing import Any

from hybrid_workers.supervision import Method, add_to_method, find_class

_LAST_SUCCESS, _LAST_ATTEMPT = "_last_successful_heartbeat", "_last_heartbeat_attempt"


def count_start_as_heartbeat(supervised: type | None = None) -> bool:
    """Let supervisors of this process count the start of a task as its first heartbeat.

    :param supervised: the Task SDK's class of a supervised task; found by itself by default.
    :return: whether it could be done.
    """
    supervised = supervised or find_class("ActivitySubprocess")
    if not hasattr(supervised, _LAST_SUCCESS) or not hasattr(supervised, _LAST_ATTEMPT):
        return False
    return add_to_method(supervised, "_send_heartbeat_if_needed", _counting_the_start)


def _counting_the_start(send: Method) -> Method:
    def send_if_needed(self: Any) -> Any:
        if not getattr(self, _LAST_ATTEMPT):
            setattr(self, _LAST_ATTEMPT, getattr(self, _LAST_SUCCESS))
        return send(self)

    return send_if_needed
