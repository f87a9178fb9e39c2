"""The one Celery task: ``execute_workload``. Turns what became of a workload into what Celery does with the message."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task  # type: ignore[import-untyped]
from celery.exceptions import Ignore, Reject  # type: ignore[import-untyped]

from hybrid_executor.events import SCHEMA, AttemptId, OwnerId
from hybrid_workers.ending import Ending
from hybrid_workers.reports import Reports
from hybrid_workers.run import Delivery, Disposition, WorkloadRuns
from hybrid_workers.titles import showing

TASK_NAME = "execute_workload"


class WorkloadFailed(Exception):
    """Shown by Celery's monitors for a workload that failed; the failure itself has been reported already."""


class EndNotReported(Exception):
    """The end of a workload could not be recorded. Its arguments are strings and are sent to the main process."""

    @classmethod
    def of(cls, end: Ending) -> EndNotReported:
        """Return it for the end of a workload."""
        return cls(end.reason, end.exit_code, end.category, end.untold)

    @property
    def end(self) -> Ending:
        """The end that is not recorded yet."""
        return Ending(*self.args)


class ExecuteWorkload(Task):  # type: ignore[misc]
    """Runs the workload of one message.

    :ivar runs: does the work, in a task process.
    :ivar reports: where the main process records what a task process cannot record any more.
    """

    name = TASK_NAME
    Request = "hybrid_workers.lost:ReportingRequest"
    throws = (WorkloadFailed, EndNotReported)
    typing = False
    ignore_result = True
    runs: WorkloadRuns
    reports: Reports

    def run(self, *args: object, **_: object) -> None:
        """Claim, run, report.

        :raises Ignore: the attempt is not to be run; the message is done with.
        :raises Reject: not now; the message goes back to its queue.
        :raises WorkloadFailed: it failed, and that has been reported.
        :raises EndNotReported: it ended, and the main process is to report that.
        """
        delivery = delivery_of(self.request, args)
        with showing(delivery.worker, delivery.attempt):
            disposition, end = self.runs.handle(delivery)
        if disposition is Disposition.LATER:
            raise Reject("the store is unavailable", requeue=True)
        if disposition is Disposition.IGNORED:
            raise Ignore()
        if end.untold:
            raise EndNotReported.of(end)
        if not end.is_success:
            raise WorkloadFailed(end.reason)


def register_task(app: Celery, *, runs: WorkloadRuns, reports: Reports) -> None:
    """Give ``app`` the task."""
    task = ExecuteWorkload()
    task.runs = runs
    task.reports = reports
    app.register_task(task)


def delivery_of(request: Any, args: tuple[object, ...]) -> Delivery:
    """Return what arrived, from Celery's request and the task's arguments; headers of other senders may lack ours."""
    known = request.get("hybrid")
    ours = known if isinstance(known, dict) else {}
    return Delivery(
        attempt=AttemptId(str(request.id)),
        payload=args[0] if args else None,
        worker=str(request.hostname),
        queue=str((request.delivery_info or {}).get("routing_key") or ""),
        owner=OwnerId(str(ours.get("owner", ""))),
        instance=str(ours.get("instance", "")),
        pool=str(ours.get("pool", "celery")),
        generation=generation if isinstance(generation := ours.get("generation"), int) else None,
        schema=schema if isinstance(schema := ours.get("schema"), int) else SCHEMA,
    )
