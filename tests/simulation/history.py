"""One history: a plan is run, and what did not hold is returned."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any
from unittest import mock

from hybrid_executor import compat
from hybrid_executor.config import Settings, airflow_config, read_settings
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.events import AttemptId
from hybrid_executor.routing import parse_routes
from hybrid_executor.store import Order, Store
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.orders import Verb
from hybrid_executor.store.presence import Role
from hybrid_executor.store.scripts import calls, load_script
from hybrid_workers import ending
from hybrid_workers import run as workers_run
from tests.simulation.agent import AgentProcess, connected_agents
from tests.simulation.airflow_model import Airflow
from tests.simulation.faults import FaultsMet
from tests.simulation.invariants import INSTANCE, Records, Runs, judge_end
from tests.simulation.kubernetes import Kubernetes
from tests.simulation.network import Network
from tests.simulation.plan import Action, Fault, Plan, TaskPlan
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import RedisServer
from tests.simulation.scheduler import Scheduler
from tests.simulation.tasks import Tasks
from tests.simulation.waits import lengthen_waits
from tests.simulation.worker import Worker
from tests.simulation.world import Process, World

LONGEST_SECONDS = 280.0
"""By then all must have ended: before Airflow's own timer for stuck tasks would hide what was forgotten."""

_LOOK_SECONDS = 3.0
_TRY_AGAIN_SECONDS = 3.0
_LOGGERS = ("hybrid_executor", "hybrid_workers")


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
    """Everything of one history.

    :ivar kube: the API server and its node; None where no task has a pod.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.server = RedisServer(lambda: self.world.now)
        self.server.know(_scripts())
        self._faults = FaultsMet(self.world, plan.faults)
        self.network = Network(self.world, self.server, self._faults)
        self.records = Records(self.server)
        self._store = Store(SimulatedRedis.connect(self.server.run), instance=INSTANCE)
        self.runs = Runs(self.world, self.network.unanswered, self.network.held_up, is_calm=not plan.faults)
        self.schedulers: list[Scheduler] = []
        self.workers: dict[str, Worker] = {}
        self.agents: dict[str, AgentProcess] = {}
        self.kube: Kubernetes | None = None
        self._snapshots: dict[int, Any] = {}
        self._looked_at = 0.0

    def run(self) -> Result:
        """Run it to its end."""
        world, plan = self.world, self.plan
        complaints = Complaints(world)
        with world.governing(), _logging_to(complaints):
            self.airflow = Airflow(world, plan.tasks)
            self.tasks = Tasks(world, self.airflow, self.runs)
            if plan.agents:
                self.kube = Kubernetes(world, self.tasks, plan.faults, self._faults)
            with (
                mock.patch.object(compat, "read_tasks", self.airflow.read_tasks),
                mock.patch.object(compat, "read_unfinished_callbacks", list),
                mock.patch.object(workers_run, "RunProcesses", NoProcesses),
                mock.patch.object(ending, "count_oom_kills", return_value=0),
                connected_agents(world, self.network, self.kube.network) if self.kube else nullcontext(),
            ):
                self._begin()
                world.is_over = self._is_over
                world.run(LONGEST_SECONDS)
                found = [*complaints.violations, *self.runs.violations, *self.records.violations]
                for part in (*self.schedulers, *self.agents.values()):
                    found += part.violations
                found += self._judge()
        return Result(plan, tuple(dict.fromkeys(found)), tuple(world.log), world.steps, world.seconds())

    def _begin(self) -> None:
        plan, world = self.plan, self.world
        for number in range(plan.schedulers):
            self._start(f"scheduler-{number}")
        for number in range(plan.workers):
            self._start(f"worker-{number}")
        for number in range(plan.agents):
            self._start(f"agent-{number}")
        for number, fault in enumerate(plan.faults):
            self._arrange(number, fault)
        for action in plan.actions:
            world.at(action.at, partial(self._act, action))

    def _act(self, action: Action) -> None:
        if action.kind != "revoke":
            self.airflow.act(action.kind, action.task)
            return
        row = self.airflow.rows[action.task]
        if row.attempt:
            self.world.say(f"a person revokes the attempt {row.attempt[:8]} of {row.name}, which is {row.state}")
            self._store.attempts.revoke([AttemptId(row.attempt)], reason="Revoked by a user")
            # It stays queued until Airflow takes it back.
            self.world.after(_TRY_AGAIN_SECONDS, partial(self.airflow.act, "take_back", action.task))

    def _is_over(self) -> bool:
        """Return whether all tasks have ended, no fault is to come, and nothing is left over."""
        world, plan = self.world, self.plan
        if not self.airflow.is_done or world.seconds() < plan.quiet_from:
            self._looked_at = world.now
            return False
        if world.now - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = world.now
        return not self._judge()

    def _judge(self) -> list[str]:
        return judge_end(self)

    def _start(self, name: str) -> None:
        """Start a process, the first of this name or another one."""
        world = self.world
        process = world.make_process(name)
        process.clock_ahead = sum(f.seconds for f in self.plan.faults if f.kind == "clock" and f.target == name)
        world.say("starts", process=process)
        if name.startswith("scheduler"):
            store = Store(self.network.connect(process), instance=INSTANCE)
            scheduler = Scheduler(
                world,
                self.airflow,
                process,
                store,
                settings(),
                len(self.schedulers) + 1,
                parallelism=self.plan.parallelism,
            )
            self.schedulers.append(scheduler)
            world.start(process, scheduler.run)
        elif name.startswith("worker"):
            worker = self.workers[name] = Worker(world, self.network, process, self.tasks, slots=self.plan.slots)
            worker.start()
        else:
            agent = self.agents[name] = AgentProcess(world, process, settings(), kubernetes_settings())
            world.start(process, agent.run)

    def _arrange(self, number: int, fault: Fault) -> None:
        world, kube = self.world, self.kube
        if fault.kind == "fall_back":
            world.at(max(0.0, fault.at - fault.seconds), partial(self._keep_snapshot, number))
        if fault.kind in ("flush", "restart", "fall_back"):
            world.at(fault.at, lambda: self._lose(fault, number))
        elif fault.kind in ("kill", "pause"):
            world.at(fault.at, lambda: self._hit(fault))
        elif fault.kind == "trim":
            world.at(fault.at, lambda: self._store.events.trim(keep_entries=0, keep_seconds=0))
        elif fault.kind == "other_release":
            world.at(fault.at, self._make_other_release)
        elif fault.kind in ("time_out", "lose_process"):
            world.at(fault.at, lambda: self.workers[fault.target].end_process(fault))
        elif fault.kind == "redeliver":
            world.at(fault.at, lambda: self._redeliver(fault))
        elif fault.kind == "drain":
            world.at(fault.at, lambda: self._order(fault, "drain"))
            world.at(fault.at + fault.seconds, lambda: self._order(fault, "resume"))
        elif kube is not None:
            kube.arrange(fault)

    def _keep_snapshot(self, number: int) -> None:
        running = frozenset(attempt for worker in self.workers.values() for attempt in worker.running)
        self._snapshots[number] = self.server.snapshot(), running

    def _lose(self, fault: Fault, number: int) -> None:
        self.world.say(f"{fault}")
        self.runs.forgotten_at = self.world.now
        unacknowledged: frozenset[AttemptId] = frozenset()
        if fault.kind == "flush":
            self.server.run([["FLUSHALL"]])
        elif fault.kind == "restart":
            self.server.restart_empty()
        else:
            snapshot, unacknowledged = self._snapshots[number]
            self.server.fall_back(snapshot)
        self.records.forget()
        if fault.kind != "fall_back":
            self.runs.emptied_at = self.world.now
        for worker in self.workers.values():
            worker.forget_ended(but=unacknowledged)
        for other in self.plan.faults:
            if other.kind == "drain" and other.ends_at < fault.at:
                # The order may be lost, which a person sees.
                self.world.after(_TRY_AGAIN_SECONDS, partial(self._order, other, "resume"))

    def _hit(self, fault: Fault) -> None:
        world, name = self.world, fault.target
        process = self._process(name)
        if process.is_dead:
            return
        world.say(f"{fault}")
        if fault.kind == "pause":
            world.pause(process, fault.seconds)
            return
        world.kill(process)
        world.after(fault.seconds, lambda: self._start(name))

    def _make_other_release(self) -> None:
        """Let what is in Redis be as an older release writes it, without a schema, and have a field of a newer one."""
        keys = Keys(INSTANCE)
        for key in self.server.all_keys():
            if key.startswith(keys.attempt("")) and "ended_at" not in self.server.peek(key):
                self.server.run([["HDEL", key, "schema"], ["HSET", key, "of_a_newer_release", "1"]])
        for message in self.server.peek("celery") or ():
            known = json.loads(message)
            known["headers"]["hybrid"] = {**known["headers"]["hybrid"], "of_a_newer_release": 1}
            known["headers"]["hybrid"].pop("schema", None)
            self.server.run([["LREM", "celery", "1", message], ["LPUSH", "celery", json.dumps(known)]])

    def _redeliver(self, fault: Fault) -> None:
        """Deliver a message again that a worker has, as a broker does that has not heard of it for too long.

        Or one that has ended, as if its acknowledgement had been lost.
        """
        messages = list(self.workers[fault.target].messages.values())[-1:]
        for message in messages:
            self.world.say(f"{fault}: {message['headers']['id'][:8]}")
            self.server.run([["RPUSH", "celery", json.dumps(message)]])

    def _order(self, fault: Fault, verb: Verb) -> None:
        """Give a worker or agent an order, as the command does: to the life that is announced."""
        keys = Keys(INSTANCE)
        role: Role = "agent" if fault.target in self.agents else "worker"
        name = (self.agents.get(fault.target) or self.workers[fault.target]).name
        life = (self.server.peek(keys.member(role, name)) or {}).get("life", "")
        self.world.say(f"{fault}: {verb} {'' if life else 'not possible, it is not announced'}")
        if not life and verb == "resume":
            self.world.after(_TRY_AGAIN_SECONDS, lambda: self._order(fault, verb))  # as a person would
        if life:
            self.server.run([["RPUSH", keys.orders(life), json.dumps(asdict(Order(verb)))]])

    def _process(self, name: str) -> Process:
        known: dict[str, Worker | AgentProcess | Scheduler] = {**self.workers, **self.agents}
        known.update({scheduler.process.name: scheduler for scheduler in self.schedulers})
        return known[name].process


ROUTES = """
    overflow   = celery(max=1, wait=4s) > kubernetes
    spot       = kubernetes(wait=3s, tries=2) > celery(max=2)
    kubernetes = kubernetes
    *          = celery
"""


@cache
def _prepare_process() -> None:
    """Do what is done once in a process: what is imported late may draw random numbers, which follow from the seed."""
    lengthen_waits()
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    tasks = (
        TaskPlan("first", "celery", -1, 0.0, ("deferred", "failed", "success"), 0.1, 1),
        TaskPlan("second", "kubernetes", -1, 0.0, ("deferred", "failed", "success"), 0.1, 1),
    )
    faults = (Fault(2.0, "refused", seconds=1.0), Fault(4.0, "kube_500", seconds=1.0), Fault(6.0, "flush"))
    History(Plan(seed=0, schedulers=2, workers=1, slots=2, agents=2, tasks=tasks, faults=faults)).run()


@cache
def settings() -> Settings:
    """Return the settings of all histories."""
    return replace(read_settings(airflow_config()), routes=parse_routes(ROUTES, profiles=()))


@cache
def kubernetes_settings() -> KubernetesSettings:
    """Return the settings of all agents."""
    return read_kubernetes_settings(airflow_config())


@cache
def _scripts() -> tuple[str, ...]:
    """Return all scripts of the store."""
    tables = [table for table in vars(calls).values() if isinstance(table, type) and hasattr(table, "_fields")]
    return tuple(load_script(table).source for table in tables)


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def run_plan(plan: Plan) -> Result:
    """Run a plan."""
    _prepare_process()
    return History(plan).run()
