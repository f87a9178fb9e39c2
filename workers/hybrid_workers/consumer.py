"""Celery's consumer, but careful with messages.

Those that cannot be read are dropped without being shown (they hold tokens), and their attempt is told. Those that
were taken and not started go back to their queue as soon as the worker begins to leave, not when it is gone. Those
whose task process died are noticed at once.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from traceback import walk_tb
from typing import Any

from celery import signals  # type: ignore[import-untyped]
from celery.exceptions import CPendingDeprecationWarning  # type: ignore[import-untyped]
from celery.worker import state as books  # type: ignore[import-untyped]
from celery.worker.consumer import Consumer  # type: ignore[import-untyped]
from kombu.transport.virtual import Empty

from hybrid_executor.errors import StoreRefused
from hybrid_executor.events import AttemptId
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.store import is_wrong_type, refusal_of
from hybrid_workers import activity
from hybrid_workers.debts import Debts, Refusals, is_careful, keep_what_is_refused, take_a_write
from hybrid_workers.misused_queues import MisusedQueues
from hybrid_workers.task import TASK_NAME

log = logging.getLogger(__name__)

_LOOK_FOR_DEAD_SECONDS = 0.5
_COME_ROUND_SECONDS = 0.25
_PAUSE_SECONDS = 3
_TICK_SECONDS = 0.2
_PROBE_SECONDS = 2.0
_LAST_ACKNOWLEDGEMENT_SECONDS = 10.0
_ACKNOWLEDGING_THREAD = "prefork-timer-shutdown"
"""Runs beside the main thread while Celery (from 5.7 on) waits for the last task processes."""


class CarefulConsumer(Consumer):  # type: ignore[misc]
    """Drops unreadable messages without showing what is in them, and has their attempt fail with the reason."""

    loop: Any
    connection: Any
    task_consumer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loop = partial(_run_loop, self.loop)
        self._left_behind: list[Any] = []
        self._unanswered: list[Any] = []
        self._debts = Debts()
        self._refusals = Refusals()
        self._misused = MisusedQueues()
        self._probed_at = 0.0

    def register_with_event_loop(self, hub: Any) -> None:
        """Look for dead task processes often.

        Celery does so every 5 s. It is woken by the end of a pipe too, but task processes that were forked later hold
        that open.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_LOOK_FOR_DEAD_SECONDS, self.pool.maintain_pool)
        hub.call_repeatedly(_COME_ROUND_SECONDS, self._come_round)

    def perform_pending_operations(self) -> None:
        """Do the regular work in Celery's loop without a hub too."""
        super().perform_pending_operations()
        if not self.hub:
            self._come_round()

    def _come_round(self) -> None:
        self.app.worker_life.duty.come_round(self, now=time.time())
        self._misused.serve_again(self, now=time.monotonic())
        if (self._debts or self._refusals.is_on) and time.monotonic() - self._probed_at > _PROBE_SECONDS:
            self._probed_at = time.monotonic()
            channel = self.task_consumer.channel
            try:
                self._debts.settle(channel)
                take_a_write(channel)
            except Exception as error:
                refusal = refusal_of(error)
                if refusal is None:
                    raise
                self._probed_at += self._refusals.note(refusal)
            else:
                self._refusals.is_over()

    def ensure_connected(self, conn: Any) -> Any:
        """Try an unavailable broker every three seconds; Celery would wait up to 32 s between two tries.

        While a broker refuses, the worker keeps its connection and takes no messages.
        """
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=_PAUSE_SECONDS, interval_step=0)
        with self.app.worker_life.waiting_for_broker():
            while True:
                try:
                    connected = super().ensure_connected(conn)
                    keep_what_is_refused(connected.transport, self._debts)
                    for channel in _channels(connected):
                        if is_careful(channel) and (self._debts or self._refusals.is_on):
                            take_a_write(channel)
                            self._debts.settle(channel)
                    self._probed_at = time.monotonic()
                    return connected
                except Exception as error:
                    refusal = refusal_of(error)
                    if refusal is None:
                        raise
                    # kombu's Redis transport connects again by itself at the next command.
                    conn.collect()
                    self._wait(refusal)

    def _wait(self, refusal: StoreRefused) -> None:
        """Wait for a broker that refuses, for a while; a signal to stop ends the wait."""
        until = time.monotonic() + self._refusals.note(refusal)
        while time.monotonic() < until:
            books.maybe_shutdown()
            time.sleep(_TICK_SECONDS)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait before the next try where the broker refuses."""
        refusal = refusal_of(exc)
        if refusal is None:
            super().on_connection_error_before_connected(exc)
        else:
            with self.app.worker_life.waiting_for_broker():
                self._wait(refusal)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a broken connection; what it delivered is taken care of when there is a new one.

        Left to itself, kombu would put everything back that is unacknowledged, also what runs; and fail where Redis
        is unavailable, which would end the worker or leave the old connection taking messages beside the new one.
        """
        self._left_behind += activity.waiting_requests()
        for request in (*activity.active_requests(), *activity.handed_out_requests()):
            if not request.acknowledged:
                # As long as there is no connection, and for good where tags do not outlive theirs.
                request.acknowledged = True
                self._unanswered.append(request)
        for channel in _channels(self.connection):
            channel.do_restore = False
        refusal = refusal_of(exc)
        is_misused = is_wrong_type(exc)
        if is_misused:
            try:
                refusal = self._misused.leave_out(self)
            except Exception as error:  # noqa: BLE001 - the next connection finds out
                log.warning("What is wrong with the queues could not be asked: %s", hide_secrets(str(error)))
        try:
            with warnings.catch_warnings(), _said_by_us(is_refusal=is_misused or refusal is not None):
                # Nine lines each time about a choice of Celery's that we have made (what runs goes on).
                warnings.simplefilter("ignore", CPendingDeprecationWarning)
                super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001 - nothing about a connection that is gone may end the worker
            words = hide_secrets(str(error))
            log.warning("The broken connection to the broker could not be closed in order: %s", words)
            self.connection = None
        if refusal is not None:
            with self.app.worker_life.waiting_for_broker():
                self._wait(refusal)

    def on_ready(self) -> None:
        """Take over what an older connection delivered where tags outlive it, and give back what waited."""
        super().on_ready()
        channel = self.task_consumer.channel
        outlives = hasattr(getattr(channel, "qos", None), "restore_by_tag")
        in_hand = {request.id for request in (*activity.active_requests(), *activity.handed_out_requests())}
        while self._unanswered:
            request = self._unanswered[-1]
            if outlives:
                request.message.channel = channel
                request.acknowledged = False
                if not (request.task.acks_late and request.id in in_hand):
                    request.acknowledge()
            self._unanswered.pop()
        returned = [AttemptId(request.id) for request in self._left_behind]
        while self._left_behind:
            if outlives:
                channel.qos.restore_by_tag(self._left_behind[-1].message.delivery_tag)
            self._left_behind.pop()
        self.app.worker_life.returned(returned)

    def on_close(self) -> None:
        """Forget what no task process has.

        Celery forgets here too what a task process was just handed, and up to 5.6 all that runs. It would hear neither
        of its end nor of its death, send it the next message while it is busy, and a worker that leaves would wait
        30 s for that process.
        """
        handed_out = activity.handed_out_requests()
        pool: Any = getattr(self.pool, "_pool", None)
        jobs = {number: job for number, job in getattr(pool, "_cache", {}).items() if activity.has_process(job)}
        super().on_close()
        for request in handed_out:
            books.task_reserved(request)
        for number, job in jobs.items():
            if not job.ready() and job._write_to._is_alive():
                pool._cache[number] = job
                pool._busy_workers.add(job._write_to.inqW_fd)

    def shutdown(self) -> None:
        """Let acknowledgements that are under way come to their end before the connection is closed."""
        for thread in threading.enumerate():
            if thread.name == _ACKNOWLEDGING_THREAD:
                thread.join(_LAST_ACKNOWLEDGEMENT_SECONDS)
        super().shutdown()

    def stop(self) -> None:
        """Stop consuming, forget what no task process has, and give its messages back."""
        waiting = activity.waiting_requests()
        super().stop()
        self._give_back(waiting)
        self._settle_before_the_end()
        for channel in _channels(self.connection):
            _finish_poll(channel)

    def _settle_before_the_end(self) -> None:
        """Try for a while to bring what the broker refused; the scheduler finds out later what was lost with us."""
        deadline = time.monotonic() + _LAST_ACKNOWLEDGEMENT_SECONDS
        while self._debts:
            try:
                with self.app.connection_for_write() as connection:
                    keep_what_is_refused(connection.transport, self._debts)
                    self._debts.settle(connection.default_channel)
            except Exception as error:  # noqa: BLE001 - whatever the broker says, the worker is to end
                if time.monotonic() >= deadline:
                    log.error("Left although the broker refused %d messages or answers: %s", len(self._debts), error)
                    return
                time.sleep(_TICK_SECONDS)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not what its headers say."""
        self._drop(message, f"The message cannot be decoded ({type(exc).__name__})")
        message.ack_log_error(log, self.connection_errors)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message is not as Celery's protocol wants it."""
        self._drop(message, f"The message is not a valid Celery task ({type(exc).__name__})")
        message.reject_log_error(log, self.connection_errors)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """The message is no Celery task at all."""
        self._drop(message, "The message is not a Celery task")
        message.reject_log_error(log, self.connection_errors)
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """The message is a task of some other application."""
        name = message.headers.get("task") if isinstance(message.headers, dict) else None
        self._drop(message, f"The message asks for the task {name!r}, which this worker does not have")
        message.reject_log_error(log, self.connection_errors)
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=_attempt_of(message))

    def give_back_waiting(self) -> None:
        """Return what no task process has to its queues; what was taken meanwhile is refused at its claim."""
        waiting = activity.waiting_requests()
        for request in waiting:
            request.is_given_back = True
            books.task_ready(request)
        self._give_back(waiting)

    def _give_back(self, waiting: Sequence[Any]) -> None:
        for request in waiting:
            self._put_back(request.message)
            request.acknowledged = True
        if waiting:
            log.info("Gave %d messages back to their queues", len(waiting))
            self.app.worker_life.returned([AttemptId(request.id) for request in waiting])

    def _put_back(self, message: Any) -> None:
        """Return a message to its queue; where we can, as the next one: kombu would put it behind all that wait."""
        qos: Any = getattr(message.channel, "qos", None)
        if not hasattr(qos, "restore_by_tag"):
            message.reject_log_error(log, self.connection_errors, requeue=True)
            return
        try:
            qos.restore_by_tag(message.delivery_tag)
            qos._quick_ack(message.delivery_tag)
        except self.connection_errors as error:
            words = hide_secrets(str(error))
            log.warning("A message could not be put back, and is delivered again after a while: %s", words)

    def _drop(self, message: Any, reason: str) -> None:
        attempt = _attempt_of(message)
        log.error("Dropped a message%s: %s", f" of attempt {attempt}" if attempt else "", reason)
        if attempt:
            self.app.tasks[TASK_NAME].reports.bad_message(AttemptId(attempt), reason)


@contextmanager
def _said_by_us(*, is_refusal: bool) -> Iterator[None]:
    """Keep Celery from logging each time (older releases with a traceback) what this worker logs once."""
    celerys = logging.getLogger("celery.worker.consumer.consumer")
    level = celerys.level
    if is_refusal:
        celerys.setLevel(logging.ERROR)
    try:
        yield
    finally:
        celerys.setLevel(level)


def _channels(connection: Any) -> list[Any]:
    """Return the open channels of a connection over one of kombu's own transports; never connects."""
    channels = getattr(getattr(connection, "_connection", None), "channels", None)
    return list(channels) if isinstance(channels, list) else []


def _attempt_of(message: Any) -> str:
    headers = message.headers if isinstance(message.headers, dict) else {}
    return str(headers.get("id") or "")


def _run_loop(loop: Callable[..., Any], *args: Any) -> Any:
    """Run Celery's event loop, which what is not even JSON on a Redis list would end, and the worker with it."""
    try:
        return loop(*args)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        if not _is_of_transport(error):
            raise
        log.error("What came from the broker is no message and is dropped (%s); reconnecting", type(error).__name__)
        raise ConnectionResetError("connected again after an answer that the transport could not read") from None


def _is_of_transport(error: Exception) -> bool:
    """Return whether kombu's transport was decoding what it had read."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return any(name.startswith("kombu.transport.") for name in frames)


def _finish_poll(channel: Any) -> None:
    """Read the answer of a pop that kombu's Redis transport has under way, at most its one second.

    A message that arrives in it after the last queue was cancelled has no taker here, and kombu puts it back; unread,
    it would wait in the socket until the last task has ended.
    """
    if getattr(channel, "_in_poll", None) and hasattr(channel, "_brpop_read"):
        try:
            channel._brpop_read()
        except Empty:
            pass
        except channel.connection_errors as error:
            log.warning("The broker became unavailable while the worker ended: %s", hide_secrets(str(error)))
