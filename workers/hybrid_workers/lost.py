"""Celery's request of a message, which also reports to the store when its task process dies."""

from __future__ import annotations

import signal as signals
from typing import Any

from billiard.common import TERM_SIGNAME  # type: ignore[import-untyped]
from billiard.einfo import ExceptionWithTraceback  # type: ignore[import-untyped]
from billiard.exceptions import Terminated, WorkerLostError  # type: ignore[import-untyped]
from celery.exceptions import Ignore, Reject, Retry  # type: ignore[import-untyped]
from celery.platforms import signals as celery_signals  # type: ignore[import-untyped]
from celery.worker import state as books  # type: ignore[import-untyped]
from celery.worker.request import Request  # type: ignore[import-untyped]

from hybrid_executor.events import AttemptId
from hybrid_executor.hiding import HIDDEN
from hybrid_workers.processes import find_tree, kill_trees
from hybrid_workers.task import EndNotReported

_PASSED_ON = frozenset({signals.SIGTERM, signals.SIGINT})
_ANSWERS = (Ignore, Reject, Retry)
"""How a task process says what to do with a message; no failures."""


class ReportingRequest(Request):  # type: ignore[misc]
    """A request whose lost process, or time-out, is reported at once by the worker's main process.

    :ivar is_given_back: its message is in the queue again, so it is not to run here.
    :ivar ended_with: the signal that a control command has asked for; the exit code of its process does not tell.
    """

    is_given_back = False
    ended_with = int(signals.SIGTERM)

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        # Who sent it may have put the workload there, which upstream's executor does.
        self._argsrepr = self._request_dict["argsrepr"] = HIDDEN
        self._kwargsrepr = self._request_dict["kwargsrepr"] = "{}"

    def info(self, safe: bool = False) -> Any:
        """Return what ``celery inspect`` and other monitors are told: never the arguments, which hold a token."""
        return super().info(safe=True)

    def revoked(self) -> bool:
        """Return whether it must not run: its message was given back, or Celery was told to revoke it.

        The one question that Celery asks before it hands a request to a task process.
        """
        return self.is_given_back or bool(super().revoked())

    def cancel(self, *args: Any, **kwargs: Any) -> Any:
        """Report that the worker ends it; Celery calls this when it leaves cold."""
        self.task.reports.stopped(AttemptId(self.id), process=self.worker_pid)
        return super().cancel(*args, **kwargs)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End it for a control command, with all that it runs.

        Airflow's supervisor passes SIGTERM and SIGINT on to the task and waits for its end; it cannot for the others.
        """
        self.ended_with = int(celery_signals.signum(signal or TERM_SIGNAME))
        family = find_tree(self.worker_pid)[1:]
        super().terminate(pool, signal=signal)
        if self.ended_with not in _PASSED_ON:
            kill_trees(family)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Report a death of the task process, and an end that it could not report itself."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        attempt, process, reports = AttemptId(self.id), self.worker_pid, self.task.reports
        if isinstance(error, EndNotReported):
            reports.ended(attempt, error.end, process=process)
        elif return_ok:
            if not isinstance(error, (*self.task.throws, *_ANSWERS)):
                reports.crashed(attempt, error, process=process)
        elif isinstance(error, WorkerLostError | Terminated | SystemExit | KeyboardInterrupt):
            if books.should_terminate not in (None, False):
                reports.stopped(attempt, process=process)
            elif isinstance(error, Terminated):
                reports.terminated(attempt, self.ended_with, process=process)
            else:
                reports.lost_process(attempt, str(error), process=process)
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """End all that runs at a hard time-out, then report it; Celery would end the task process alone."""
        if not soft:
            kill_trees(find_tree(self.worker_pid))
            self.task.reports.timed_out(AttemptId(self.id), timeout, process=self.worker_pid)
        return super().on_timeout(soft, timeout)
