"""One scheduler process: Airflow's loop around the real executor."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

from airflow.utils.state import TaskInstanceState

from hybrid_executor import compat
from hybrid_executor.config import Settings
from hybrid_executor.errors import StoreForbidden
from hybrid_executor.events import OwnerId
from hybrid_executor.executor import HybridExecutor
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.loop import Loop
from hybrid_executor.executor.reports import Reports
from hybrid_executor.pools.celery import CeleryPool
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.store import Store
from tests.simulation.airflow_model import JOB_LOST_SECONDS, STUCK_SECONDS, TASK_LOST_SECONDS, Airflow, Job, Row
from tests.simulation.names import INSTANCE
from tests.simulation.world import Process, World

LOOP_SECONDS = 2.0
_ADOPT_SECONDS = 5.0
_BEATS_SECONDS = 10.0
POD_LAUNCH_RETRIES = 1
"""Airflow's default of ``[kubernetes_executor] pod_launch_failure_retries``."""

_HEARTBEAT_BUDGET_SECONDS = 15.0


class WatchedReports(Reports):
    """Remembers which attempt an event is about, which Airflow's own events do not say."""

    def __init__(self, executor: Any) -> None:
        super().__init__(executor)
        self.attempt_of: dict[object, str] = {}

    def changed(self, tracked: Any, state: Any, reason: str) -> None:
        before = self._executor.event_buffer.get(tracked.key)
        super().changed(tracked, state, reason)
        if self._executor.event_buffer.get(tracked.key) is not before:
            self.attempt_of[tracked.key] = tracked.attempt


class SimulatedExecutor(HybridExecutor):
    """The real executor, opened without a configuration file."""

    def open(self, store: Store, settings: Settings, airflow: Airflow) -> None:
        """Do what ``start()`` does after it has read the configuration."""
        self._log = logging.getLogger("hybrid_executor.executor")
        self.__dict__["settings"] = settings
        world = airflow.world
        self.clock = world.seconds
        self._reports = self.watched = WatchedReports(self)
        self.context = Context(
            settings=settings,
            store=store,
            owner=OwnerId(str(self.job_id)),
            pools={"celery": CeleryPool(instance=INSTANCE), "kubernetes": KubernetesPool()},
            default_queue="celery",
            reports=self._reports,
            make_workloads=airflow.make_workloads,
            clock=world.seconds,
            sleep=world.sleep,
        )
        self._loop = Loop(self.context, pod_launch_retries=POD_LAUNCH_RETRIES)
        self._loop.begin(lambda: None)

    def log_task_event(self, **_: Any) -> None:
        """Airflow's audit log is not simulated."""

    def _tell_slots(self) -> None:
        assert self.slots_available >= 0


class Scheduler:
    """One process with Airflow's loop.

    :param on_end: called when it has ended as it should: it was told to, or Redis refuses it when it starts.
    :ivar violations: what it saw that must not be.
    :ivar given_up: attempts that it has told its executor to revoke.
    """

    def __init__(
        self,
        world: World,
        airflow: Airflow,
        process: Process,
        store: Store,
        settings: Settings,
        job_id: int,
        *,
        parallelism: int,
        on_end: Callable[[], None],
    ) -> None:
        self.world = world
        self.airflow = airflow
        self.process = process
        self.job = airflow.jobs[job_id] = Job(job_id, world.now)
        self.executor = SimulatedExecutor(parallelism=parallelism)
        self.executor.job_id = job_id
        self.violations: list[str] = []
        self.given_up: set[str] = set()
        self.longest_heartbeat = 0.0
        self.most_trips = 0
        self._store = store
        self._settings = settings
        self._adopted_at = 0.0
        self._on_end = on_end
        self._is_stopping = False
        self.is_open = False

    def stop(self) -> None:
        """Tell it to end."""
        self._is_stopping = True

    def run(self) -> None:
        """Live until the end of the history, or until it is told to end."""
        try:
            self.executor.open(self._store, self._settings, self.airflow)
        except StoreForbidden as error:
            self.world.say(f"ends: {error}", process=self.process)
            self._on_end()
            return
        self.is_open = True
        while not self._is_stopping:
            self._loop_once()
            self.world.sleep(LOOP_SECONDS)
        self.executor.end()
        self.is_open = self.job.is_running = False
        self.world.say("has ended", process=self.process)
        self._on_end()

    def _loop_once(self) -> None:
        world, airflow = self.world, self.airflow
        world.sleep(0.005)
        self.job.heartbeat_at = world.now
        if world.now - self._adopted_at > _ADOPT_SECONDS:
            self._adopted_at = world.now
            self._adopt()
        airflow.make_due()
        self._queue()
        began, trips = world.now, self.process.trips
        try:
            self.executor.heartbeat()
        except Exception as error:
            self.violations.append(f"heartbeat() raised {error!r}")
        self.most_trips = max(self.most_trips, self.process.trips - trips)
        if self.process.paused_until < began:
            self.longest_heartbeat = max(self.longest_heartbeat, world.now - began)
            if world.now - began > _HEARTBEAT_BUDGET_SECONDS:
                self.violations.append(f"heartbeat() took {world.now - began:.1f} s")
        world.sleep(0.005)
        self._process_events()
        self.job.is_running = True  # a heartbeat of a job writes its own state, also where others have found it dead
        self._handle_stuck()
        self._purge_silent()

    def _queue(self) -> None:
        room = self.executor.slots_available
        for row in self.airflow.rows:
            if row.state == "scheduled" and room > 0 and not row.is_locked:
                if row.key in self.executor.running:
                    continue  # Airflow leaves it for a later loop
                room -= 1
                row.state, row.attempt = "queued", str(uuid.uuid4())
                row.queued_by, row.queued_at, row.heartbeat_at = self.job.id, self.world.now, 0.0
                self.airflow.attempts_of[row.attempt] = row
                self.world.say(f"queues {row.name} as {row.attempt[:8]}")
                self.executor.queue_workload(self.airflow.workload_of(row), None)  # type: ignore[arg-type]

    def _adopt(self) -> None:
        jobs, now = self.airflow.jobs, self.world.now
        for job in jobs.values():
            if job is not self.job and job.is_running and now - job.heartbeat_at > JOB_LOST_SECONDS:
                job.is_running = False
                self.world.say(f"finds that job {job.id} is dead")
        orphans = [
            row
            for row in self.airflow.rows
            if row.state in ("queued", "running", "restarting")
            and not row.is_locked
            and row.queued_by != self.job.id
            and not jobs[row.queued_by].is_running
        ]
        if not orphans:
            return
        for row in orphans:
            row.is_locked = True
        try:
            given_back = list(self.executor.try_adopt_task_instances(orphans))  # type: ignore[arg-type]
            for row in orphans:
                if row in given_back:
                    self._judge_reset(row)
                    self.world.say(f"resets {row.name}")
                    row.taken_back[row.attempt] = row.queued_at, now
                    row.state, row.due_at, row.attempt = "", now, ""
                else:
                    row.queued_by = self.job.id
        finally:
            for row in orphans:
                row.is_locked = False

    def _process_events(self) -> None:
        executor = self.executor
        for key, (state, info, *_) in executor.get_event_buffer().items():
            row = next((row for row in self.airflow.rows if row.key == key), None)
            attempt = executor.watched.attempt_of.get(key, "")
            if row is None or state in (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING):
                continue
            is_queued = row.state in ("scheduled", "queued", "running", "restarting")
            is_requeued = (
                row.queued_by != self.job.id
                or key in executor.running
                or any(key == queued for queued, _ in compat.queued_workloads(executor))
                or (row.state == "scheduled" and state == TaskInstanceState.SUCCESS and row.is_resumed)
            )
            if is_queued and not is_requeued:
                self._judge_failing(row, attempt, state, info)
                self.world.say(f"fails {row.name}, which is {row.state}: {state.value} {info}")
                self.airflow.fail(row)

    def _judge_failing(self, row: Row, attempt: str, state: Any, info: object) -> None:
        if attempt and row.attempt and attempt != row.attempt:
            self.violations.append(f"an event of attempt {attempt[:8]} failed {row.name}, which is {row.attempt[:8]}")
        runner = row.run_by
        is_alive = runner is not None and not runner.is_dead and not runner.paused_until
        # If an attempt that was taken back has started the task, the API refuses the other one, which fails.
        if row.state == "running" and is_alive and row.started_late != row.name:
            self.violations.append(f"{row.name} was failed while it runs: {state.value} {info}")

    def _judge_reset(self, row: Row) -> None:
        runner = row.run_by
        beats = self.world.now - row.heartbeat_at < _BEATS_SECONDS
        if row.state == "running" and beats and runner is not None and not runner.is_dead:
            self.violations.append(f"{row.name} was reset while it runs")

    def _handle_stuck(self) -> None:
        for row in self.airflow.rows:
            is_ours = row.state == "queued" and row.queued_by == self.job.id and not row.is_locked
            if is_ours and (row.is_stuck or self.world.now - row.queued_at > STUCK_SECONDS):
                self.world.say(f"takes {row.name} back")
                row.is_locked, row.is_stuck = True, False
                row.taken_back[row.attempt] = row.queued_at, self.world.now
                try:
                    attempt = row.attempt
                    self.executor.revoke_task(ti=row)  # type: ignore[arg-type]
                    self.given_up.add(attempt)
                    row.taken_back[attempt] = row.queued_at, self.world.now
                    row.state, row.attempt = "scheduled", ""
                finally:
                    row.is_locked = False

    def _purge_silent(self) -> None:
        for row in self.airflow.rows:
            is_silent = row.state in ("running", "restarting") and row.queued_by == self.job.id
            if is_silent and self.world.now - row.heartbeat_at > TASK_LOST_SECONDS:
                self.world.say(f"fails {row.name}, which is silent")
                tracked = self.executor.context.ledger.of_key(row.key)
                self.executor.change_state(row.key, TaskInstanceState.FAILED, remove_running=True)
                if tracked is not None:
                    self.given_up.add(tracked.attempt)
                self.airflow.fail(row)
