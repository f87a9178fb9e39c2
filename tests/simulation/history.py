"""One history: a plan is run, and what did not hold is returned."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from unittest import mock

from hybrid_executor import compat
from hybrid_executor.config import Settings, airflow_config, read_settings
from hybrid_executor.store import Store
from hybrid_workers import ending
from hybrid_workers import run as workers_run
from tests.simulation.airflow_model import Airflow
from tests.simulation.invariants import INSTANCE, Records, Runs, judge_end
from tests.simulation.network import Network
from tests.simulation.plan import QUIET_FROM, Fault, Plan
from tests.simulation.redis_server import RedisServer
from tests.simulation.scheduler import Scheduler
from tests.simulation.worker import Worker
from tests.simulation.world import Process, World

LONGEST_SECONDS = 280.0
"""By then all must have ended: before Airflow's own timer for stuck tasks would hide what was forgotten."""

_LOOK_SECONDS = 6.0


@dataclass(frozen=True)
class Result:
    """What came of a plan."""

    plan: Plan
    violations: tuple[str, ...]
    log: tuple[str, ...] = field(repr=False)
    steps: int = 0
    seconds: float = 0.0


class NoProcesses:
    """In place of the operating system's processes that a run leaves behind."""

    def end(self) -> None:
        """Nothing is left behind."""


class Complaints(logging.Handler):
    """Unexpected errors that were logged: each is a mistake, even where the code goes on."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG)
        self._world = world
        self.violations: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._world.say(f"[{record.levelname.lower()}] {message}")
        if record.exc_info:
            self.violations.append(f"unexpected error: {message}: {record.exc_info[1]!r}")


class History:
    """Everything of one history."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.server = RedisServer(lambda: self.world.now)
        self.network = Network(self.world, self.server, plan.faults)
        self.records = Records(self.server)
        self.runs = Runs(self.world)
        self.schedulers: list[Scheduler] = []
        self.workers: dict[str, Worker] = {}
        self._looked_at = 0.0
        self._snapshots: dict[int, Any] = {}

    def run(self) -> Result:
        """Run it to its end."""
        world, plan = self.world, self.plan
        complaints = Complaints(world)
        with world.governing(), _logging_to(complaints):
            self.airflow = Airflow(world, plan.tasks)
            with (
                mock.patch.object(compat, "read_tasks", self.airflow.read_tasks),
                mock.patch.object(workers_run, "RunProcesses", NoProcesses),
                mock.patch.object(ending, "count_oom_kills", return_value=0),
            ):
                for number in range(plan.schedulers):
                    self._start_scheduler(f"scheduler-{number}")
                for number in range(plan.workers):
                    self._start_worker(f"worker-{number}")
                for number, fault in enumerate(plan.faults):
                    self._arrange(number, fault)
                for action in plan.actions:
                    world.at(action.at, partial(self.airflow.act, action.kind, action.task))
                world.is_over = self._is_over
                world.run(LONGEST_SECONDS)
                found = [*complaints.violations, *self.runs.violations, *self.records.violations]
                for scheduler in self.schedulers:
                    found += scheduler.violations
                found += self._judge()
        return Result(plan, tuple(dict.fromkeys(found)), tuple(world.log), world.steps, world.seconds())

    def _is_over(self) -> bool:
        """Return whether all tasks have ended, no fault is to come, and nothing is left over."""
        world, plan = self.world, self.plan
        if not self.airflow.is_done or ((plan.faults or plan.actions) and world.seconds() < QUIET_FROM):
            self._looked_at = world.now
            return False
        if world.now - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = world.now
        return not self._judge()

    def _judge(self) -> list[str]:
        return judge_end(self)

    def _start_scheduler(self, name: str) -> None:
        world = self.world
        process = world.make_process(name)
        store = Store(self.network.connect(process), instance=INSTANCE)
        job_id = len(self.schedulers) + 1
        scheduler = Scheduler(world, self.airflow, process, store, settings(), job_id)
        self.schedulers.append(scheduler)
        world.say(f"starts as job {job_id}", process=process)
        world.start(process, scheduler.run)

    def _start_worker(self, name: str) -> None:
        world = self.world
        process = world.make_process(name)
        self.workers[name] = worker = Worker(
            world, self.airflow, self.network, process, self.runs, slots=self.plan.slots
        )
        world.say("starts", process=process)
        worker.start()

    def _arrange(self, number: int, fault: Fault) -> None:
        world = self.world
        if fault.kind == "fall_back":
            world.at(
                max(0.0, fault.at - fault.seconds), lambda: self._snapshots.update({number: self.server.snapshot()})
            )
            world.at(fault.at, lambda: self._lose(fault, number))
        elif fault.kind == "flush":
            world.at(fault.at, lambda: self._lose(fault, number))
        elif fault.kind in ("kill", "pause"):
            world.at(fault.at, lambda: self._hit(fault))

    def _keep_snapshot(self, number: int) -> None:
        self._snapshots[number] = self.server.snapshot()

    def _lose(self, fault: Fault, number: int) -> None:
        self.world.say(f"{fault}")
        self.records.forget()
        if fault.kind == "flush":
            self.server.run([["FLUSHALL"]])
        else:
            self.server.fall_back(self._snapshots[number])

    def _hit(self, fault: Fault) -> None:
        world, name = self.world, fault.target
        worker = self.workers.get(name)
        process = worker.process if worker else self._scheduler_process(name)
        if process.is_dead:
            return
        world.say(f"{fault}")
        if fault.kind == "pause":
            world.pause(process, fault.seconds)
            return
        world.kill(process)
        start = self._start_worker if worker else self._start_scheduler
        world.at(world.seconds() + fault.seconds, lambda: start(name))

    def _scheduler_process(self, name: str) -> Process:
        return next(s.process for s in reversed(self.schedulers) if s.process.name == name)


@cache
def settings() -> Settings:
    """Return the settings of all histories."""
    return read_settings(airflow_config())


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    names = ("hybrid_executor", "hybrid_workers")
    for name in names:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)


def run_plan(plan: Plan) -> Result:
    """Run a plan."""
    return History(plan).run()
