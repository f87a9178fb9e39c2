"""One history: a plan is run, and what did not hold is returned."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import Any
from unittest import mock

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Order, Store
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.orders import Verb
from hybrid_executor.store.presence import Role
from hybrid_workers import ending
from hybrid_workers import run as workers_run
from tests.simulation import clocks
from tests.simulation.agent import AgentProcess, connected_agents
from tests.simulation.airflow_model import Airflow
from tests.simulation.complaints import Complaints, logging_to, prepare_loggers
from tests.simulation.deployment import kubernetes_settings, settings_of
from tests.simulation.faults import FaultsMet, scripts
from tests.simulation.invariants import Runs, judge_end
from tests.simulation.invariants_of_delays import Delays, Ledgers
from tests.simulation.invariants_of_records import Records
from tests.simulation.invariants_of_scripts import Scripts
from tests.simulation.kubernetes import Kubernetes
from tests.simulation.names import INSTANCE, QUEUES
from tests.simulation.network import Network
from tests.simulation.people import People
from tests.simulation.plan import Fault, Plan, TaskPlan
from tests.simulation.real_server import RealServer
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import RedisServer
from tests.simulation.scheduler import Scheduler
from tests.simulation.tasks import Tasks
from tests.simulation.waits import lengthen_waits
from tests.simulation.worker import Worker
from tests.simulation.world import EPOCH, Process, World

LONGEST_SECONDS = 280.0
"""By then all must have ended: before Airflow's own timer for stuck tasks would hide what was forgotten."""

_LOOK_SECONDS = 1.5
_TRY_AGAIN_SECONDS = 3.0
_START_AGAIN_SECONDS = 2.0
_LONG_SECONDS = 3.0
"""After it, what is decided about an attempt is decided by what is known of its start."""


@dataclass(frozen=True)
class Result:
    """What came of a plan.

    :ivar furthest_ahead: seconds by which the clock of a real Redis was ahead, at most.
    """

    plan: Plan
    violations: tuple[str, ...]
    log: tuple[str, ...] = field(repr=False)
    steps: int = 0
    seconds: float = 0.0
    furthest_ahead: float = 0.0


class NoProcesses:
    """In place of the operating system's processes that a run leaves behind."""

    def end(self) -> None:
        """Nothing is left behind."""


class History:
    """Everything of one history.

    :param address: host and port of a real Redis; None for the simulated one.
    :ivar kube: the API server and its node; None where no task has a pod.
    """

    def __init__(self, plan: Plan, address: tuple[str, int] | None = None) -> None:
        self.plan = plan
        self.world = World(plan.seed, epoch=EPOCH if address is None else clocks.real_time())
        self.server = _make_server(address, lambda: self.world.now)
        self.server.know(script.source for script in scripts().values())
        self._faults = FaultsMet(self.world, plan.faults)
        self.network = Network(self.world, self.server, self._faults)
        self.records = Records(
            self.server,
            most_starting=plan.starting_pods,
            pods_per_second=plan.pods_per_second,
            lives=self._lives,
            has_long_started=self._has_long_started,
        )
        self.scripts = Scripts(self.server)
        self._store = Store(SimulatedRedis.connect(self.server.run), instance=INSTANCE)
        self.runs = Runs(
            self.world,
            self.network.unanswered,
            self.network.held_up,
            to_be_revoked=self._is_to_be_revoked,
            may_launch_again=(plan.has("kube_late") and plan.has("kill"))
            or any(f.kind in ("kill", "pause", "stop") and f.target.startswith("scheduler") for f in plan.faults),
            may_accept_late=plan.has("attach_late"),
            is_calm=not plan.faults,
        )
        self.schedulers: list[Scheduler] = []
        self.workers: dict[str, Worker] = {}
        self.agents: dict[str, AgentProcess] = {}
        self.kube: Kubernetes | None = None
        self._snapshots: dict[int, Any] = {}
        self._away: dict[str, float] = {}
        self._looked_at = 0.0
        self._ledgers = Ledgers(self.world, plan)
        self._delays = Delays(self.world, plan, self.server, self._faults.disturbed_until)

    def run(self) -> Result:
        """Run it to its end."""
        world, plan = self.world, self.plan
        complaints = Complaints(world)
        with world.governing(), logging_to(complaints):
            self.airflow = Airflow(world, plan.tasks)
            people = People(world, self.airflow, self._store, erased=self.runs.erased)
            self.network.interfere = people.interfere
            self.tasks = Tasks(world, self.airflow, self.runs)
            if plan.agents:
                self.kube = Kubernetes(
                    world, self.tasks, plan.faults, self._faults, has_lost_data=lambda: self.runs.forgotten_at > 0
                )
            with (
                mock.patch.object(compat, "read_tasks", self.airflow.read_tasks),
                mock.patch.object(compat, "read_unfinished_callbacks", list),
                mock.patch.object(workers_run, "RunProcesses", NoProcesses),
                mock.patch.object(ending, "count_oom_kills", return_value=0),
                connected_agents(world, self.network, self.kube.network) if self.kube else nullcontext(),
            ):
                self._begin()
                for action in plan.actions:
                    world.at(action.at, partial(people.act, action))
                world.is_over = self._is_over
                world.run(LONGEST_SECONDS)
                found = [*complaints.violations, *self.runs.violations, *self.records.violations]
                found += self.scripts.violations
                for part in (*self.schedulers, *self.agents.values()):
                    found += part.violations
                found += [*self._ledgers.violations, *self._delays.violations]
                found += self.kube.owners.violations if self.kube else []
                found += self._judge()
        furthest_ahead = self.server.furthest_ahead if isinstance(self.server, RealServer) else 0.0
        return Result(plan, tuple(dict.fromkeys(found)), tuple(world.log), world.steps, world.seconds(), furthest_ahead)

    def _begin(self) -> None:
        plan = self.plan
        for number in range(plan.schedulers):
            self._start(f"scheduler-{number}")
        for number in range(plan.workers):
            self._start(f"worker-{number}")
        for number in range(plan.agents):
            self._start(f"agent-{number}")
        for number, fault in enumerate(plan.faults):
            self._arrange(number, fault)

    def _is_to_be_revoked(self, attempt: str) -> bool:
        """Return whether a scheduler has yet to tell Redis that an attempt is revoked, or has died before it could."""
        opened = [one for one in self.schedulers if one.is_open]
        return any(attempt in one.executor.context.pending.to_revoke for one in opened)

    def _lives(self, life: str) -> bool:
        """Return whether a worker of this life lives, and was not told to end."""
        return any(
            worker.life == life and not worker.is_stopping and not worker.process.is_dead
            for worker in self.workers.values()
        )

    def _has_long_started(self, attempt: str) -> bool:
        """Return whether Airflow has had the task of an attempt as running for some seconds."""
        row = self.airflow.attempts_of.get(attempt)
        if row is None or row.attempt != attempt or row.state != "running":
            return False
        return any(
            run.attempt == attempt and run.is_admitted and self.world.now - run.began_at > _LONG_SECONDS
            for run in self.runs.all
        )

    def _is_over(self) -> bool:
        """Return whether all tasks have ended, no fault is to come, and nothing is left over."""
        world, plan = self.world, self.plan
        self._ledgers.look(self.schedulers)
        self._delays.look(self.schedulers, self.workers.values(), self.runs, self.airflow)
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
        ended = partial(self._ended, name, process)
        if name.startswith("scheduler"):
            store = Store(self.network.connect(process), instance=INSTANCE)
            scheduler = Scheduler(
                world,
                self.airflow,
                process,
                store,
                settings_of(self.plan),
                len(self.schedulers) + 1,
                parallelism=self.plan.parallelism,
                on_end=ended,
            )
            self.schedulers.append(scheduler)
            world.start(process, scheduler.run)
        elif name.startswith("worker"):
            worker = self.workers[name] = Worker(
                world, self.network, process, self.tasks, slots=self.plan.slots, on_end=ended
            )
            worker.start()
        else:
            agent = self.agents[name] = AgentProcess(
                world, process, settings_of(self.plan), kubernetes_settings(), on_end=ended
            )
            world.start(process, agent.run)

    def _ended(self, name: str, process: Process) -> None:
        """Start another process in the place of one that has ended by itself."""
        self.world.kill(process)
        self.world.after(self._away.pop(name, _START_AGAIN_SECONDS), partial(self._start, name))

    def _arrange(self, number: int, fault: Fault) -> None:
        world, kube = self.world, self.kube
        if fault.kind == "fall_back":
            world.at(max(0.0, fault.at - fault.seconds), partial(self._keep_snapshot, number))
        if fault.kind in ("flush", "restart", "fall_back"):
            world.at(fault.at, lambda: self._lose(fault, number))
        elif fault.kind in ("kill", "stop", "pause"):
            world.at(fault.at, lambda: self._hit(fault))
        elif fault.kind == "trim":
            world.at(fault.at, lambda: self._store.events.trim(keep_entries=0, keep_seconds=0))
        elif fault.kind == "other_release":
            world.at(fault.at, self._make_other_release)
        elif fault.kind == "expire":
            world.at(fault.at, self._expire_payloads)
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
        self.runs.unseen |= self._unseen_claims()
        self.runs.forgotten_at = self.world.now
        self.runs.forgotten_from = self.world.now - fault.seconds if fault.kind == "fall_back" else 0.0
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
        self.network.writes_to(*QUEUES).wake()  # those that wait for messages connect again and ask at once
        for other in self.plan.faults:
            if other.kind == "drain" and other.ends_at < fault.at:
                # The order may be lost, which a person sees.
                self.world.after(_TRY_AGAIN_SECONDS, partial(self._order, other, "resume"))

    def _unseen_claims(self) -> set[str]:
        """Return what a worker has claimed, and its scheduler has not read of."""
        ledgers = [one.executor.context.ledger for one in self.schedulers if one.is_open and not one.process.is_dead]
        waiting = {tracked.attempt for ledger in ledgers for tracked in ledger if tracked.state is State.SUBMITTED}
        return {attempt for attempt, _ in self.records.claims if attempt in waiting}

    def _hit(self, fault: Fault) -> None:
        world, name = self.world, fault.target
        part = self._part(name)
        process = part.process
        if process.is_dead:
            return
        world.say(f"{fault}")
        if fault.kind == "pause":
            world.pause(process, fault.seconds)
            return
        if fault.kind == "stop":
            self._away[name] = fault.seconds
            part.stop()
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

    def _expire_payloads(self) -> None:
        """Let all workloads that wait expire, as where pods wait long for a node."""
        prefix = Keys(INSTANCE).payload("")
        self.server.run([["DEL", key] for key in self.server.all_keys() if key.startswith(prefix)])

    def _redeliver(self, fault: Fault) -> None:
        """Deliver a message again that a worker has, as a broker does that has not heard of it for too long.

        Or one that has ended, as if its acknowledgement had been lost.
        """
        worker, forgotten_at = self.workers[fault.target], self.runs.forgotten_at
        known = [message for attempt, message in worker.messages.items() if worker.taken_at(attempt) > forgotten_at]
        messages = known[-1:]
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

    def _part(self, name: str) -> Worker | AgentProcess | Scheduler:
        known: dict[str, Worker | AgentProcess | Scheduler] = {**self.workers, **self.agents}
        known.update({scheduler.process.name: scheduler for scheduler in self.schedulers})
        return known[name]


@cache
def _prepare_process() -> None:
    """Do what is done once in a process: what is imported late may draw random numbers, which follow from the seed."""
    lengthen_waits()
    prepare_loggers()
    tasks = (
        TaskPlan("first", "celery", -1, 0.0, ("deferred", "failed", "success"), 0.1, 1),
        TaskPlan("second", "kubernetes", -1, 0.0, ("deferred", "failed", "success"), 0.1, 1),
    )
    faults = (Fault(2.0, "refused", seconds=1.0), Fault(4.0, "kube_500", seconds=1.0), Fault(6.0, "flush"))
    plan = Plan(seed=0, schedulers=2, workers=1, slots=2, agents=2, tasks=tasks, faults=faults)
    History(plan).run()
    History(replace(plan, pod_token="stdin", warm=1, tasks=(replace(tasks[1], pool="quick"),))).run()


def _make_server(address: tuple[str, int] | None, clock: Callable[[], float]) -> RedisServer:
    return RedisServer(clock) if address is None else RealServer(clock, host=address[0], port=address[1])


def run_plan(plan: Plan, *, address: tuple[str, int] | None = None) -> Result:
    """Run a plan.

    :param address: host and port of a real Redis that is empty, in the place of the simulated one.
    """
    _prepare_process()
    history = History(plan, address)
    try:
        return history.run()
    finally:
        if isinstance(history.server, RealServer):
            history.server.close()
