"""A model of what Airflow does around its executors: rows, the scheduler's loop, the API that a task talks to.

After ``airflow/jobs/scheduler_job_runner.py`` and the execution API of Airflow 3.2. Times are shorter where a history
would only wait: a try is repeated after a second, a dead scheduler is found after 15 s.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Any

from airflow.executors import workloads
from airflow.models.taskinstancekey import TaskInstanceKey

from hybrid_executor.compat import TaskRow
from tests.simulation.plan import TaskPlan
from tests.simulation.world import Process, World

JOB_LOST_SECONDS = 15.0
TASK_LOST_SECONDS = 60.0
STUCK_SECONDS = 600.0
RETRY_SECONDS = 1.0
TRIGGER_SECONDS = 0.7
TASK_BEAT_SECONDS = 4.0
_ENDED = ("success", "failed")


class TaskAlreadyRunningError(Exception):
    """As the Task SDK raises it."""


class NotWaiting(Exception):
    """The API's answer to the start of a task that does not wait for it."""


@dataclass(eq=False)
class Row:
    """One task instance.

    :ivar attempt: its ``external_executor_id``.
    :ivar queued_by: the scheduler job that queued it.
    :ivar is_locked: a transaction has changed it and has not ended.
    :ivar is_stuck: its scheduler is to take it back, as it does with what is queued for too long.
    :ivar run_by: the process that runs it.
    :ivar longest_wait: seconds from a queueing to the start of its run.
    :ivar started_late: the try that an attempt has started which was taken back, by its name.
    :ivar taken_back: attempts that its scheduler has taken back or reset: when they were queued, and when that was.
    """

    plan: TaskPlan
    number: int
    id: str
    try_number: int = 1
    state: str = ""
    attempt: str = ""
    queued_by: int = 0
    queued_at: float = 0.0
    due_at: float = 0.0
    heartbeat_at: float = 0.0
    is_locked: bool = False
    is_resumed: bool = False
    is_stuck: bool = False
    run_by: Process | None = None
    runs: int = 0
    tries_added: int = 0
    longest_wait: float = 0.0
    started_late: str = ""
    taken_back: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def key(self) -> TaskInstanceKey:
        """What the scheduler knows it by."""
        return TaskInstanceKey("dag", self.plan.name, "run", self.try_number, self.plan.map_index)

    @property
    def name(self) -> str:
        """What a history calls it."""
        return f"task {self.number} ({self.plan.name}) try {self.try_number}"

    # What an adoption asks of Airflow's own task instance.
    @property
    def external_executor_id(self) -> str:
        """The attempt, by Airflow's name."""
        return self.attempt


@dataclass(eq=False)
class Job:
    """A scheduler job.

    :ivar is_running: False once another scheduler has found it dead. The next heartbeat of its own makes it True again.
    """

    id: int
    heartbeat_at: float
    is_running: bool = True


class Airflow:
    """The database and the API server. They are always there."""

    def __init__(self, world: World, tasks: Iterable[TaskPlan]) -> None:
        self.world = world
        self.rows = [
            Row(plan, number, str(uuid.uuid4()), due_at=world.now + plan.begins_at) for number, plan in enumerate(tasks)
        ]
        self.jobs: dict[int, Job] = {}
        self.attempts_of: dict[str, Row] = {}

    def find(self, task_id: str) -> Row | None:
        """Return the row with this id."""
        return next((row for row in self.rows if row.id == task_id), None)

    @property
    def is_done(self) -> bool:
        """All tasks have ended."""
        return all(row.state in _ENDED for row in self.rows)

    # ---- what the executor reads ----

    def read_tasks(self, task_ids: Iterable[str]) -> dict[str, TaskRow]:
        """Stand in for ``compat.read_tasks``."""
        self.world.sleep(0.003)
        wanted = set(task_ids)
        return {row.id: self._as_read(row) for row in self.rows if row.id in wanted}

    def _as_read(self, row: Row) -> TaskRow:
        beat = datetime.fromtimestamp(row.heartbeat_at, timezone.utc) if row.heartbeat_at else None
        return TaskRow(
            id=row.id,
            dag_id="dag",
            task_id=row.plan.name,
            run_id="run",
            map_index=row.plan.map_index,
            try_number=row.try_number,
            state=row.state,
            queue=row.plan.pool,
            attempt=row.attempt,
            queued_by=str(row.queued_by),
            last_heartbeat_at=beat,
            read_at=datetime.fromtimestamp(self.world.now, timezone.utc),
        )

    def make_workloads(self, task_ids: Iterable[str]) -> dict[str, Any]:
        """Stand in for ``compat.make_workloads``."""
        self.world.sleep(0.003)
        wanted = set(task_ids)
        return {row.id: self.workload_of(row) for row in self.rows if row.id in wanted and row.state == "queued"}

    def workload_of(self, row: Row) -> Any:
        """Return what the scheduler gives to an executor for a row."""
        ti = workloads.TaskInstanceDTO(
            id=uuid.UUID(row.id),
            dag_version_id=uuid.UUID(int=0),
            dag_id="dag",
            task_id=row.plan.name,
            run_id="run",
            try_number=row.try_number,
            map_index=row.plan.map_index,
            pool_slots=1,
            priority_weight=1,
            queue=row.plan.pool,
            external_executor_id=row.attempt,
        )
        return workloads.ExecuteTask(
            ti=ti,
            dag_rel_path=PurePath("dag.py"),
            token="token",
            bundle_info=workloads.BundleInfo(name="dags"),
            log_path=None,
        )

    # ---- what people do ----

    def act(self, kind: str, number: int) -> None:
        """Clear or mark a task, as a person does it in the UI."""
        row = self.rows[number]
        self.world.say(f"a person does {kind} to {row.name}, which is {row.state or 'none'}")
        if kind == "take_back":
            row.is_stuck = row.state in ("", "scheduled", "queued")  # if it is not queued yet, as soon as it is
        elif kind != "clear":
            row.state = "success" if kind == "mark_success" else "failed"
        elif row.state == "running":
            row.state = "restarting"
            row.tries_added += 1
        elif row.state:
            self._prepare_next_try(row)
            row.tries_added += 1
            row.state, row.due_at = "", self.world.now

    # ---- what a task asks of the API ----

    def begin_run(self, task_id: str, process: Process) -> Row:
        """Start a task as the API does: only a queued one."""
        row = self._unlocked(task_id)
        if row.state == "running":
            raise TaskAlreadyRunningError(row.name)
        if row.state != "queued":
            raise NotWaiting(f"409: {row.name} is {row.state}")
        row.state, row.run_by, row.heartbeat_at = "running", process, self.world.now
        row.runs += 1
        row.longest_wait = max(row.longest_wait, self.world.now - row.queued_at)
        return row

    def beat(self, row: Row, process: Process, task_id: str) -> bool:
        """Note that a task lives; return False where it is to end."""
        self.world.sleep(0.003)
        if row.id != task_id or row.state != "running" or row.run_by is not process:
            return False
        row.heartbeat_at = self.world.now
        return True

    def end_run(self, row: Row, process: Process, task_id: str, end: str) -> bool:
        """Record how a run ended, as the API does; return whether it was accepted."""
        self.world.sleep(0.003)
        if row.id != task_id or self._unlocked(task_id) is not row or row.state != "running":
            return False
        if row.run_by is not process:
            return False
        row.run_by = None
        if end == "deferred":
            row.state, row.due_at, row.is_resumed = "deferred", self.world.now + TRIGGER_SECONDS, True
        elif end == "failed":
            self._fail(row)
        else:
            row.state = "success"
        return True

    def _unlocked(self, task_id: str) -> Row:
        self.world.sleep(0.003)
        while True:
            row = self.find(task_id)
            if row is None:
                raise NotWaiting("404: the task instance is gone")
            if not row.is_locked:
                return row
            self.world.sleep(0.05)

    def fail(self, row: Row) -> None:
        """Do what ``TaskInstance.handle_failure`` does."""
        self._fail(row)

    def _fail(self, row: Row) -> None:
        row.run_by = None
        if row.state == "restarting" or row.try_number <= row.plan.retries + row.tries_added:
            row.state, row.due_at = "up_for_retry", self.world.now + RETRY_SECONDS
        else:
            row.state = "failed"

    def _prepare_next_try(self, row: Row) -> None:
        row.id, row.try_number = str(uuid.uuid4()), row.try_number + 1
        row.attempt, row.is_resumed, row.heartbeat_at, row.run_by = "", False, 0.0, None

    def make_due(self) -> None:
        """Move on what waits for its time: new tasks, retries, triggers."""
        for row in self.rows:
            if row.is_locked or row.due_at > self.world.now:
                continue
            if row.state == "up_for_retry":
                self._prepare_next_try(row)
                row.state = "scheduled"
            elif row.state in ("", "deferred"):
                row.state = "scheduled"
