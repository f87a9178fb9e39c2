"""What happens when in a worker's life: before it forks, when it is ready, when it leaves, in each task process."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery, signals  # type: ignore[import-untyped]

from hybrid_executor.config.celery import explain_without_effect
from hybrid_executor.config.suspects import warn_of_suspects
from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.metrics import open_metrics
from hybrid_executor.store import Store
from hybrid_workers import activity
from hybrid_workers.activity import WorkerCard
from hybrid_workers.checks import check_name, check_permissions, check_pool, check_size
from hybrid_workers.departure import Departure
from hybrid_workers.deployment import Deployment
from hybrid_workers.discretion import hide_secrets_in_logs
from hybrid_workers.duty import Duty
from hybrid_workers.fast_exit import end_waits_with_the_process
from hybrid_workers.first_heartbeat import count_start_as_heartbeat
from hybrid_workers.heartbeat import Heartbeat
from hybrid_workers.orphans import tie_workloads_to_this_process
from hybrid_workers.parsed.keep import ParsedFiles
from hybrid_workers.preload import preload
from hybrid_workers.reports import Reports
from hybrid_workers.server_orders import note_orders
from hybrid_workers.titles import show_idle
from hybrid_workers.told_ends import TaskHints, give_hints
from hybrid_workers.vitals import Vitals, remove_vitals, write_vitals
from hybrid_workers.witness import Witness

log = logging.getLogger(__name__)

# At DEBUG it writes the arguments of what it hands to task processes, and they hold a token.
_SHOWS_ARGUMENTS = "celery.pool"


class WorkerLife:
    """Connects one application's worker to the store. Does nothing in processes that are no worker."""

    def __init__(
        self,
        app: Celery,
        *,
        store: Callable[[], Store],
        reports: Reports,
        deployment: Deployment,
        witness: Witness,
        hints: TaskHints,
    ) -> None:
        self._app = app
        self._store = store
        self._reports = reports
        self._deployment = deployment
        self._witness = witness
        self._hints = hints
        self._card = WorkerCard(name="", identity=deployment.identity)
        self._heartbeat: Heartbeat | None = None
        self._name = ""
        self._departure = Departure(
            timeout_seconds=deployment.shutdown_timeout_seconds, reports=reports, active=activity.active_requests
        )
        self._has_vitals = True
        self._parsed_files = ParsedFiles()
        self.duty = Duty(self._card)

    def connect(self) -> None:
        """Listen to Celery's signals."""
        signals.worker_init.connect(self._before_fork, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)
        signals.task_received.connect(self._received, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.worker_shutting_down.connect(self._leaving, weak=False)
        signals.worker_shutdown.connect(self._left, weak=False)
        signals.worker_process_init.connect(self._in_task_process, weak=False)

    def returned(self, attempts: list[AttemptId]) -> None:
        """Note that messages went back to their queues."""
        if self._heartbeat is not None and attempts:
            self._heartbeat.returned(attempts)

    @contextmanager
    def waiting_for_broker(self) -> Iterator[None]:
        """Note, within the context, that the main thread waits for the broker and is not stuck."""
        before, self._card.is_waiting = self._card.is_waiting, True
        try:
            yield
        finally:
            self._card.is_waiting = before

    def _before_fork(self, sender: Any, **_: Any) -> None:
        if sender.app is self._app:
            self._name = str(sender.hostname)
            self._check(sender)
            self._witness.open()
            logging.getLogger(_SHOWS_ARGUMENTS).setLevel(logging.INFO)
            hide_secrets_in_logs()
            preload(self._deployment.preload)
            _close_database()
            self._parsed_files.open(
                parse_seconds=self._deployment.parse_seconds, most_files=self._deployment.parsed_files
            )

    def _check(self, worker: Any) -> None:
        """End the worker where it cannot work; ``celery worker`` would start it too. Redis may be unavailable."""
        store = self._store()
        try:
            check_pool(worker.pool_cls)
            check_size(worker)
            store.ping()
            check_name(store, worker.hostname)
            check_permissions(
                self._app,
                store,
                self._deployment.celery.broker,
                queues=sorted(self._app.amqp.queues.consume_from),
                name=worker.hostname,
            )
        except ConfigError as error:
            raise SystemExit(str(error)) from None
        except StoreUnavailable as error:
            log.error("The store is unavailable; the worker starts without it: %s", error)
        except self._app.connection_for_read().connection_errors as error:
            log.error("The broker is unavailable; the worker waits for it: %s", hide_secrets(str(error)))
        finally:
            store.close()  # task processes must not inherit its connections

    def _ready(self, sender: Any, **_: Any) -> None:
        if sender.app is not self._app:
            return
        explain_without_effect(self._deployment.celery)
        warn_of_suspects(log.warning)
        self._parsed_files.explain()
        self._card.name = sender.hostname
        self._card.queues = tuple(sorted(self._app.amqp.queues.consume_from))
        self._card.concurrency = self._card.processes = int(sender.pool.num_processes)
        self._card.loop_at = time.time()
        broker, own = self._deployment.celery.broker, self._deployment.redis
        metrics = self._reports.metrics = open_metrics(self._deployment.metrics)
        self._heartbeat = Heartbeat(
            self._store,
            self._card,
            self._reports,
            activity.look,
            obey=self.duty.put,
            queue_prefix=broker.key_prefix if broker.is_at(own.url, own.options) else None,
            beat=self._beat,
            leave=lambda: os.kill(os.getpid(), signal.SIGTERM),
            witness=self._witness,
            metrics=metrics,
        )
        self._heartbeat.start()
        # Celery signals its end only for a warm shutdown, and not at all where that is interrupted.
        atexit.register(self._left)

    def _beat(self) -> None:
        """Do what must be done every second, Redis or not."""
        self._departure.advance(time.monotonic())
        self._note_vitals()

    def _note_vitals(self) -> None:
        card = self._card
        vitals = Vitals(
            name=card.name,
            pid=os.getpid(),
            written_at=time.time(),
            loop_at=time.time() if card.is_leaving or card.is_waiting else card.loop_at,
            trouble=card.trouble,
            deaf_since=card.deaf_since,
        )
        try:
            write_vitals(vitals)
        except OSError as error:
            if self._has_vitals:
                log.warning("worker-probe will not find this worker, whose signs of life cannot be written: %s", error)
            self._has_vitals = False

    def _in_task_process(self, **_: Any) -> None:
        """Leave to the parent what is the parent's, leave nothing behind, and wait for nothing that is over."""
        _close_database()
        tie_workloads_to_this_process()
        end_waits_with_the_process()
        count_start_as_heartbeat()
        note_orders()
        give_hints(self._hints)
        self._parsed_files.use()
        show_idle(self._name)

    def _received(self, **_: Any) -> None:
        self._card.consumed_at = time.time()

    def _revoked(self, request: Any, terminated: bool = False, **_: Any) -> None:
        if not terminated:
            self._reports.revoked(AttemptId(request.id))

    def _leaving(self, how: str = "Warm", **_: Any) -> None:
        self._card.is_leaving = True
        if how == "Warm":
            self._departure.told(time.monotonic())

    def _left(self, **_: Any) -> None:
        if self._heartbeat is None:
            return
        for request in activity.active_requests():
            self._reports.stopped(AttemptId(request.id), process=request.worker_pid)
        self._heartbeat.stop()
        self._heartbeat = None
        with suppress(OSError):
            remove_vitals(self._card.name)


def _close_database() -> None:
    from airflow.settings import dispose_orm

    dispose_orm(do_log=False)
