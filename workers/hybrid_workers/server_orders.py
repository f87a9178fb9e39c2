"""Whether Airflow itself ended a task while it ran here.

A task instance that a person marks or clears, or whose Dag run Airflow ends, is not to run any more. The supervisor in
the Task SDK hears so with its next heartbeat and kills the task's process. By its exit code alone, that cannot be told
from a process that ran out of memory. The supervisor knows it as the task's final state.

Promises: only what the supervisor says is noted; what it does is Airflow's own code. Where the Task SDK looks different
from what is expected, nothing is changed, and such an end counts as any other kill.
"""

from __future__ import annotations

from typing import Any

from hybrid_workers.supervision import Method, add_to_method, find_class


class _Last:
    was_ended = False


def note_orders(supervised: type | None = None) -> bool:
    """Let supervisors of this process note whether Airflow had their task ended.

    :param supervised: the Task SDK's class of a supervised task; found by itself by default.
    :return: whether it could be done.
    """
    try:
        from airflow.sdk.execution_time.supervisor import SERVER_TERMINATED
    except ImportError:
        return False
    supervised = supervised or find_class("ActivitySubprocess")

    def noting(wait: Method) -> Method:
        def wait_and_note(self: Any, *args: Any, **kwargs: Any) -> Any:
            _Last.was_ended = False
            code = wait(self, *args, **kwargs)
            _Last.was_ended = self.final_state == SERVER_TERMINATED
            return code

        return wait_and_note

    return hasattr(supervised, "final_state") and add_to_method(supervised, "wait", noting)


def was_ended_by_airflow() -> bool:
    """Return whether Airflow had the task ended that this process supervised last."""
    return _Last.was_ended


def forget_orders() -> None:
    """Forget the last task: another workload begins, which may be none that is supervised."""
    _Last.was_ended = False
