"""Celery's own account of a message, which also tells the store when a task process dies under it."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[import-untyped]
from billiard.exceptions import Terminated, WorkerLostError  # type: ignore[import-untyped]
from celery.worker import state as books  # type: ignore[import-untyped]
from celery.worker.request import Request  # type: ignore[import-untyped]

from hybrid_executor.events import AttemptId
from hybrid_executor.hiding import HIDDEN


class ReportingRequest(Request):  # type: ignore[misc]
    """A request whose lost process, or time-out, is reported at once by the worker's main process.

    :ivar is_given_back: its message is in the queue again, so it is not to run here.
    """

    is_given_back = False

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        # Who sent it may have put the workload there, which upstream's executor does.
        self._argsrepr = self._request_dict["argsrepr"] = HIDDEN
        self._kwargsrepr = self._request_dict["kwargsrepr"] = "{}"

    def info(self, safe: bool = False) -> Any:
        """Return what ``celery inspect`` and other monitors are told: never the arguments, which hold a token."""
        return super().info(safe=True)

    def revoked(self) -> bool:
        """Say whether it is not to run: its message was given back, or Celery was told to revoke it.

        The one question that Celery asks before it hands a request to a task process.
        """
        return self.is_given_back or bool(super().revoked())

    def cancel(self, *args: Any, **kwargs: Any) -> Any:
        """Report that the worker ends it; Celery calls this when it leaves cold."""
        self.task.reports.stopped(AttemptId(self.id), process=self.worker_pid)
        return super().cancel(*args, **kwargs)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Report a death of the task process; everything else has been reported by that process itself."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError | Terminated | SystemExit | KeyboardInterrupt) and not return_ok:
            if books.should_terminate not in (None, False):
                self.task.reports.stopped(AttemptId(self.id), process=self.worker_pid)
            else:
                self.task.reports.lost_process(AttemptId(self.id), str(error), process=self.worker_pid)
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """Report a hard time-out."""
        if not soft:
            self.task.reports.timed_out(AttemptId(self.id), timeout, process=self.worker_pid)
        return super().on_timeout(soft, timeout)
