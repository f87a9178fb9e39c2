"""What a worker's main process reports of attempts whose task process cannot: it died, or never got the message.

Put from the main thread, delivered by the heartbeat's thread; nothing here waits.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hybrid_executor.errors import HybridError
from hybrid_executor.events import AttemptId
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Record
from hybrid_workers import ending
from hybrid_workers.ending import Ending

log = logging.getLogger(__name__)

_POOL = "celery"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of one attempt as the main process saw it.

    :ivar process: pid of the task process that had it; ``None`` for a message that no process got.
    """

    attempt: AttemptId
    end: Ending
    process: int | None = None

    @property
    def state(self) -> State:
        """The state in which it ended."""
        return State(self.end.untold or State.FAILED)

    @property
    def fields(self) -> dict[str, str | int]:
        """What its record is to say of its end."""
        return {"reason": self.end.reason, "exit_code": self.end.exit_code, "category": self.end.category}


class Reports:
    """Ends that wait to be recorded, in order."""

    def __init__(self) -> None:
        self.metrics: Metrics = SILENT
        self._waiting: deque[Report] = deque()
        self._oom_kills = ending.count_oom_kills()

    def __len__(self) -> int:
        return len(self._waiting)

    def lost_process(self, attempt: AttemptId, message: str, *, process: int | None) -> None:
        """Note that a task process died, in Celery's words ``message``."""
        oom_kills = ending.count_oom_kills()
        end = ending.of_lost_process(message, oom_kills=oom_kills - self._oom_kills)
        self._oom_kills = oom_kills
        self._waiting.append(Report(attempt=attempt, end=end, process=process or -1))

    def terminated(self, attempt: AttemptId, number: int, *, process: int | None) -> None:
        """Note that a Celery control command ended a task process with signal ``number``."""
        self._waiting.append(Report(attempt=attempt, end=ending.of_termination(number), process=process or -1))

    def crashed(self, attempt: AttemptId, error: BaseException, *, process: int | None) -> None:
        """Note that a task process gave up a message before it could report the end itself."""
        self._waiting.append(Report(attempt=attempt, end=ending.of_exception(error), process=process or -1))

    def ended(self, attempt: AttemptId, end: Ending, *, process: int | None) -> None:
        """Note an end that the task process could not record; it is kept as long as this worker runs."""
        self._waiting.append(Report(attempt=attempt, end=end, process=process or -1))

    def timed_out(self, attempt: AttemptId, seconds: float, *, process: int | None) -> None:
        """Note that Celery's hard time limit ended a task process."""
        self._waiting.append(Report(attempt=attempt, end=ending.of_timeout(seconds), process=process or -1))

    def stopped(
        self, attempt: AttemptId, *, process: int | None, reason: str = "The worker was stopped while it ran"
    ) -> None:
        """Note that the worker was stopped without waiting for what ran."""
        end = Ending(reason, category="worker_stopped")
        self._waiting.append(Report(attempt=attempt, end=end, process=process or -1))

    def bad_message(self, attempt: AttemptId, reason: str) -> None:
        """Note that a message could not be read."""
        self._waiting.append(Report(attempt=attempt, end=Ending(reason, category="bad_message")))

    def revoked(self, attempt: AttemptId) -> None:
        """Note that a Celery control command took the message away."""
        end = Ending("Revoked by a Celery control command", category="revoked")
        self._waiting.append(Report(attempt=attempt, end=end))

    def deliver(self, attempts: Attempts, *, worker: str, keep: Callable[[Report], None] = lambda _: None) -> None:
        """Record what waits; what could not be recorded stays.

        :param keep: is told each end before, since Redis may have lost the record, or may lose what is told now.
        :raises StoreUnavailable: Redis could not be asked.
        """
        while self._waiting:
            report = self._waiting[0]
            try:
                if _deliver(report, attempts, worker=worker, keep=keep) and report.process is not None:
                    self.metrics.count(metric.PROCESSES_LOST, category=report.end.category)
            except HybridError:
                raise
            except Exception:  # noqa: BLE001 - one report must not keep the others from being delivered
                log.exception("The end of attempt %s could not be reported", report.attempt)
            self._waiting.popleft()


def _deliver(report: Report, attempts: Attempts, *, worker: str, keep: Callable[[Report], None]) -> bool:
    """Record one report; return whether the record accepted it."""
    keep(report)
    record = attempts.records([report.attempt])[0]
    change = change_for(report, record, worker=worker)
    if change is None or not attempts.advance(change).is_granted:
        return False
    log.info("Attempt %s is %s: %s", report.attempt, change.to.value, report.end.reason)
    return True


def change_for(report: Report, record: Record | None, *, worker: str) -> Change | None:
    """Return the change that a report asks for, ``None`` where the record is about another run.

    An attempt whose process died before it claimed it is lost, not failed: its owner submits it again. One that has
    gone on to pods is not this worker's any more.
    """
    if record is None or record.state.is_terminal or record.pool not in ("", _POOL):
        return None
    if record.state is State.SUBMITTED:
        to = State.FAILED if report.process is None else State.LOST
    elif record.holder == worker and process_of(record.extra.get("claim_token", "")) == report.process:
        to = report.state
    else:
        return None
    return Change(attempt=report.attempt, to=to, generation=record.generation, fields=report.fields)


def process_of(claim_token: str) -> int | None:
    """Return the pid of the task process that claimed an attempt: the token begins with it."""
    pid = claim_token.partition("-")[0]
    return int(pid) if pid.isdigit() else None
