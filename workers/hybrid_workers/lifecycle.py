"""What happens when in a worker's life: before it forks, when it is ready, when it leaves, in each task process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery, signals  # type: ignore[import-untyped]

from hybrid_executor.events import AttemptId
from hybrid_executor.store import Store
from hybrid_workers import activity
from hybrid_workers.activity import WorkerCard
from hybrid_workers.fast_exit import end_waits_with_the_process
from hybrid_workers.heartbeat import Heartbeat
from hybrid_workers.orphans import tie_workloads_to_this_process
from hybrid_workers.preload import preload
from hybrid_workers.reports import Reports


class WorkerLife:
    """Connects one application's worker to the store. Does nothing in processes that are no worker."""

    def __init__(
        self, app: Celery, *, store: Callable[[], Store], reports: Reports, preloaded: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._store = store
        self._reports = reports
        self._preloaded = preloaded
        self._card = WorkerCard(name="")
        self._heartbeat: Heartbeat | None = None

    def connect(self) -> None:
        """Listen to Celery's signals."""
        signals.worker_init.connect(self._before_fork, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)
        signals.task_received.connect(self._received, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.worker_shutting_down.connect(self._leaving, weak=False)
        signals.worker_shutdown.connect(self._left, weak=False)
        signals.worker_process_init.connect(_in_task_process, weak=False)

    def returned(self, attempts: list[AttemptId]) -> None:
        """Note that messages went back to their queues."""
        if self._heartbeat is not None and attempts:
            self._heartbeat.returned(attempts)

    def _before_fork(self, sender: Any, **_: Any) -> None:
        if sender.app is self._app:
            preload(self._preloaded)
            _close_database()

    def _ready(self, sender: Any, **_: Any) -> None:
        if sender.app is not self._app:
            return
        self._card = WorkerCard(
            name=sender.hostname,
            queues=tuple(sorted(self._app.amqp.queues.consume_from)),
            concurrency=int(sender.pool.num_processes),
        )
        self._heartbeat = Heartbeat(self._store, self._card, self._reports, activity.look)
        self._heartbeat.start()

    def _received(self, **_: Any) -> None:
        self._card.consumed_at = time.time()

    def _revoked(self, request: Any, terminated: bool = False, **_: Any) -> None:
        if not terminated:
            self._reports.revoked(AttemptId(request.id))

    def _leaving(self, **_: Any) -> None:
        self._card.is_draining = True

    def _left(self, sender: Any, **_: Any) -> None:
        if self._heartbeat is None:
            return
        for request in activity.active_requests():
            self._reports.stopped(AttemptId(request.id), process=request.worker_pid)
        self._heartbeat.stop()
        self._heartbeat = None


def _in_task_process(**_: Any) -> None:
    """Leave to the parent what is the parent's, leave nothing behind, and wait for nothing that is over."""
    _close_database()
    tie_workloads_to_this_process()
    end_waits_with_the_process()


def _close_database() -> None:
    from airflow.settings import dispose_orm

    dispose_orm(do_log=False)
