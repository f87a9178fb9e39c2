"""One message: claim its attempt, run the workload, report its end. Knows nothing of Celery.

Promises: nothing runs unclaimed; an attempt that runs, ended or was revoked is not run again; every end reaches the
store, through an outage of Redis too, with the reason in words; what is reported as failed does not run any more; a
message that cannot be read fails alone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from hybrid_executor.errors import ConfigError, HybridError, StoreUnavailable, TaskRejected
from hybrid_executor.events import SCHEMA, AttemptId, OwnerId
from hybrid_executor.hiding import traceback_of
from hybrid_executor.states import State
from hybrid_executor.store import Attempts, Change, Claim, Outcome, Store
from hybrid_workers import ending
from hybrid_workers.ending import Ending
from hybrid_workers.processes import RunProcesses
from hybrid_workers.server_orders import forget_orders, was_ended_by_airflow
from hybrid_workers.witness import Note
from hybrid_workers.workload import parse_workload

if TYPE_CHECKING:
    from hybrid_executor.compat import Workload
    from hybrid_executor.compat.workloads import AirflowWorkload

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST_SIGNALS = 128
Runner = Callable[["AirflowWorkload"], int]
"""Runs one of Airflow's workloads and returns the exit code of its process."""


class Disposition(Enum):
    """What to do with the message."""

    ENDED = "ended"
    IGNORED = "ignored"
    LATER = "later"


@dataclass(frozen=True)
class Patience:
    """How long to go on asking an unavailable Redis.

    :ivar claim_seconds: before the message goes back to its queue.
    :ivar report_seconds: before a finished workload's slot is given up; the worker's main process then keeps its end.
    """

    claim_seconds: float = 60.0
    report_seconds: float = 900.0
    longest_pause_seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message as it arrived.

    :ivar instance: the deployment it was made for, "" where the message does not say.
    :ivar generation: that of the record it was sent for, ``None`` where the message does not say.
    :ivar schema: what its release calls :data:`~hybrid_executor.events.SCHEMA`.
    """

    attempt: AttemptId
    payload: object = field(repr=False)
    worker: str
    queue: str = ""
    owner: OwnerId = OwnerId("")
    instance: str = ""
    pool: str = "celery"
    generation: int | None = None
    schema: int = SCHEMA


class WorkloadRuns:
    """Runs messages in a task process.

    :param store: returns the store of the process it is called in.
    :param run: what runs a workload.
    :param on_note: told of each claim and of each end that Redis has confirmed.
    :param on_start: told of each attempt before its workload is run.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        *,
        instance: str,
        run: Runner,
        patience: Patience | None = None,
        on_note: Callable[[Note], None] = lambda _: None,
        on_start: Callable[[AttemptId], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._instance = instance
        self._run = run
        self._patience = patience or Patience()
        self._on_note = on_note
        self._on_start = on_start

    def handle(self, delivery: Delivery) -> tuple[Disposition, Ending]:
        """Do all that a message asks for; return what becomes of the message, and how its workload ended."""
        if delivery.instance not in ("", self._instance):
            log.error(
                "Attempt %s belongs to instance %s and this worker to %s: they share a queue; give one of them another "
                "queue or another [celery] broker_url. The message goes back to the queue",
                delivery.attempt,
                delivery.instance,
                self._instance,
            )
            time.sleep(self._patience.longest_pause_seconds)
            return Disposition.LATER, Ending()
        if delivery.schema > SCHEMA:
            log.error(
                "Attempt %s was sent by a newer release, which this worker cannot read: upgrade this worker. The "
                "message goes back to the queue",
                delivery.attempt,
            )
            time.sleep(self._patience.longest_pause_seconds)
            return Disposition.LATER, Ending()
        workload, rejection = _read(delivery)
        try:
            claim = self._claim(delivery, workload)
        except HybridError as error:
            log.error("Attempt %s waits for the store and goes back to the queue: %s", delivery.attempt, error)
            return Disposition.LATER, Ending()
        if claim is None:
            log.error("Dropped a message that is not ours, %s: %s", delivery.attempt, rejection.reason)
            return Disposition.IGNORED, rejection
        if not claim[1].is_granted:
            log.info("Attempt %s is %s already, ignored", delivery.attempt, _where(claim[1]))
            return Disposition.IGNORED, Ending()
        token, granted = claim
        self._on_note(_claim_note(delivery, workload, granted, token=token))
        log.info("Attempt %s started: %s", delivery.attempt, _name_of(workload))
        begun = time.monotonic()
        self._on_start(delivery.attempt)
        end, state = (rejection, State.FAILED) if workload is None else self._run_to_end(workload.airflow)
        end = self._report(delivery, workload, granted, end=end, state=state, token=token)
        seconds = time.monotonic() - begun
        log.info("Attempt %s %s after %.1f s %s", delivery.attempt, state.value, seconds, end.reason)
        return (Disposition.IGNORED if end.category == "duplicate" else Disposition.ENDED), end

    def _claim(self, delivery: Delivery, workload: Workload | None) -> tuple[str, Claim] | None:
        """Return our claim's token and its answer, ``None`` for an unreadable message of an attempt nobody knows."""
        token = f"{os.getpid()}-{uuid4().hex}"

        def ask() -> tuple[str, Claim] | None:
            attempts = self._store().attempts
            if workload is None and not delivery.instance and attempts.records([delivery.attempt]) == [None]:
                return None
            return token, _claim(attempts, delivery, workload, token=token)

        return self._patiently(delivery.attempt, ask, self._patience.claim_seconds)

    def _run_to_end(self, workload: AirflowWorkload) -> tuple[Ending, State]:
        """Run a workload; nothing of it runs any more when this returns or raises, unless it succeeded."""
        processes = RunProcesses()
        try:
            end, state = self._run_and_judge(workload)
        except BaseException:
            processes.end()
            raise
        if not end.is_success:
            processes.end()
        return end, state

    def _run_and_judge(self, workload: AirflowWorkload) -> tuple[Ending, State]:
        oom_kills = ending.count_oom_kills()
        forget_orders()
        try:
            code = self._run(workload)
        except SystemExit as error:
            if isinstance(error.code, int) and error.code < -_MOST_SIGNALS:
                raise  # Celery's own way to end a task process; the main process knows why and tells
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except Exception as error:  # noqa: BLE001 - whatever a workload does, its slot goes on and its owner learns of it
            if type(error).__name__ == "TaskAlreadyRunningError":
                # Its owner asks Airflow's database whether that process lives.
                return Ending("Airflow has it as running in another process", category="duplicate"), State.LOST
            log.error("The workload could not be run\n%s", traceback_of(error))
            end = ending.of_exception(error)
            # Its owner asks Airflow's database whether it had started. What had not is sent again.
            return end, State.LOST if end.category == ending.API_UNREACHABLE else State.FAILED
        end = ending.of_exit_code(
            code, oom_kills=ending.count_oom_kills() - oom_kills, is_ended_by_airflow=was_ended_by_airflow()
        )
        return end, State.SUCCEEDED if end.is_success else State.FAILED

    def _report(
        self, delivery: Delivery, workload: Workload | None, claim: Claim, *, end: Ending, state: State, token: str
    ) -> Ending:
        fields = {"reason": end.reason, "exit_code": end.exit_code, "category": end.category}

        def finish(generation: int) -> Claim:
            change = Change(attempt=delivery.attempt, to=state, generation=generation, fields=fields)
            seconds = self._patience.report_seconds
            return self._patiently(delivery.attempt, lambda: self._store().attempts.advance(change), seconds)

        try:
            answer = finish(claim.generation)
            if answer.outcome in (Outcome.MISSING, Outcome.STALE) and answer.generation < claim.generation:
                log.warning("Redis lost the record of attempt %s while it ran; writing it again", delivery.attempt)
                again = self._patiently(
                    delivery.attempt,
                    lambda: _claim(self._store().attempts, delivery, workload, token=token),
                    self._patience.report_seconds,
                )
                if again.is_granted or again.holder in ("", delivery.worker):
                    answer = finish(again.generation)
                if answer.outcome is Outcome.STALE and answer.holder == delivery.worker:
                    # This worker's heartbeat has written it again in between, in the generation that was claimed first.
                    answer = finish(answer.generation)
        except HybridError as error:
            log.error("The end of attempt %s could not be reported and is kept: %s", delivery.attempt, error)
            return replace(end, untold=state.value)
        # The same end by this worker is this very end, whose first answer was lost.
        is_told = answer.is_granted or (answer.state, answer.holder) == (state.value, delivery.worker)
        if not is_told:
            log.info("Attempt %s is %s by now; its end is ignored", delivery.attempt, _where(answer))
        # Noted in any case: by a Redis that falls back, or that has lost the record, it may run again.
        generation = answer.generation if is_told else claim.generation
        self._on_note(Note(attempt=delivery.attempt, generation=generation, end=state.value, fields=fields))
        return end

    def _patiently(self, attempt: AttemptId, ask: Callable[[], T], seconds: float) -> T:
        return Retrying(
            retry=retry_if_exception_type((StoreUnavailable, ConfigError)),
            stop=stop_after_delay(seconds),
            wait=wait_random_exponential(multiplier=0.2, max=self._patience.longest_pause_seconds),
            before_sleep=partial(_say_once, attempt),
            reraise=True,
        )(ask)


def _say_once(attempt: AttemptId, state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("Attempt %s waits for the store and is tried again: %s", attempt, state.outcome.exception())


def _read(delivery: Delivery) -> tuple[Workload | None, Ending]:
    try:
        return parse_workload(delivery.payload), Ending()
    except TaskRejected as error:
        return None, Ending(str(error), category="bad_message")


def _claim(attempts: Attempts, delivery: Delivery, workload: Workload | None, *, token: str) -> Claim:
    fields = {**(workload.fields if workload else {}), "queue": delivery.queue}
    return attempts.claim(
        delivery.attempt,
        worker=delivery.worker,
        token=token,
        owner=delivery.owner,
        pool=delivery.pool,
        sent_generation=delivery.generation,
        fields=fields,
    )


def _claim_note(delivery: Delivery, workload: Workload | None, claim: Claim, *, token: str) -> Note:
    fields = {
        **(workload.fields if workload else {}),
        "queue": delivery.queue,
        "holder": delivery.worker,
        "claim_token": token,
    }
    return Note(
        attempt=delivery.attempt,
        generation=claim.generation,
        owner=delivery.owner,
        pool=delivery.pool,
        fields=fields,
    )


def _where(claim: Claim) -> str:
    return f"{claim.state or 'unknown'} at {claim.holder}" if claim.holder else claim.state or "unknown"


def _name_of(workload: Workload | None) -> str:
    if workload is None:
        return "a message that cannot be read"
    fields = workload.fields
    if fields.get("kind") != "task":
        return f"{fields.get('kind')} {fields.get('key')}"
    return f"{fields['dag_id']}.{fields['task_id']} {fields['run_id']} try {fields['try_number']}"
