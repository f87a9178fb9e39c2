"""HybridExecutor: Airflow's hooks, and what each of them starts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.executors.base_executor import BaseExecutor

from hybrid_executor import compat
from hybrid_executor.complaints import Complaints
from hybrid_executor.config import AirflowConfig, Settings, airflow_config, read_settings
from hybrid_executor.config.identity import read_identity
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.settings import Shape
from hybrid_executor.config.suspects import warn_of_suspects
from hybrid_executor.config.teams import read_executors, words_of
from hybrid_executor.errors import HybridError, StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.executor import adoption, opening, revocation, slots, still_queued, submission
from hybrid_executor.executor.admission import Asking, Room
from hybrid_executor.executor.child import AgentChild
from hybrid_executor.executor.clock import Clock, Sleep
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.dump import describe
from hybrid_executor.executor.event_log import EventLog
from hybrid_executor.executor.local_work import LocalWork
from hybrid_executor.executor.logs import PodLogs, TeamLogs
from hybrid_executor.executor.loop import Loop
from hybrid_executor.executor.reports import Reports
from hybrid_executor.executor.waiting import STUCK_EVENT
from hybrid_executor.metrics import SILENT, Metrics, open_metrics, read_metrics_settings
from hybrid_executor.metrics import table as metric
from hybrid_executor.pools.recorded import make_recorded_pools
from hybrid_executor.targets import Target

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

    from hybrid_executor.compat import AirflowWorkload, WorkloadKey, WorkloadState

_SLICE_SECONDS = 1.0  # less than the time in which Redis has to answer
_LOCAL_SLICE_SECONDS = 0.1  # a local pool can only be asked again and again


class HybridExecutor(compat.SupportedWorkloads, BaseExecutor):
    """Routes every task by its ``queue``: Kubernetes queues become pods, all others go to Celery workers."""

    supports_multi_team: bool = True
    pre_assigns_external_executor_id: ClassVar[bool] = True
    sentry_integration = "sentry_sdk.integrations.celery.CeleryIntegration"
    is_local = False
    serve_logs = False

    shape: ClassVar[Shape] = "hybrid"
    """Which routes there are when none are configured."""

    clock: Clock = staticmethod(time.monotonic)
    """What all waits and timers of this executor go by. Set another one before :meth:`start`."""

    metrics: Metrics = SILENT
    """Where the numbers of this executor go from :meth:`start` on."""

    sleep: Sleep = staticmethod(time.sleep)
    """How this executor waits where it does not wait for Redis."""

    context: Context | None = None
    """What the parts of this executor share, from :meth:`start` to its end."""

    _child: AgentChild | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._complaints = Complaints()
        self._task_event_logs: EventLog = EventLog()
        self._reports = Reports(self)
        self._local = LocalWork({}, self._reports)

    @property
    def team(self) -> str:
        """The team whose tasks this executor runs, "" for an executor of all teams."""
        return self.team_name or ""

    @cached_property
    def _config(self) -> AirflowConfig:
        return airflow_config(self.team)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the deployment or of the team, read when first needed.

        :raises ConfigError: a value is wrong.
        """
        with words_of(self.team):
            return read_settings(self._config, shape=self.shape)

    @cached_property
    def _pod_logs(self) -> TeamLogs:
        return TeamLogs(self.team, open_own=lambda: PodLogs(self.settings, self._config))

    @cached_property
    def _is_alone(self) -> bool:
        return len(read_executors(airflow_config())) < 2  # Airflow has no other executor

    # ---- life ----

    def start(self) -> None:
        """Check the configuration, open the store, and start the agent and the local pool where there are any.

        :raises ConfigError: the configuration cannot work; the message says what to write.
        """
        with words_of(self.team):
            self._start()

    def _start(self) -> None:
        compat.check_queues(self)
        conf, settings = self._config, self.settings
        opening.check_executors(self.team)
        if self.team:
            self.parallelism = int(conf.get("core", "parallelism", fallback=0)) or self.parallelism
        else:
            warn_of_suspects(self.log.warning)
        local_pools = opening.make_local_pools(
            settings, is_local=self.is_local, slots=self._limits(), job_id=self.job_id
        )
        recorded_pools = make_recorded_pools(conf, settings)
        self.metrics = open_metrics(read_metrics_settings(conf), is_initialized=True)
        kubernetes = read_kubernetes_settings(conf) if "kubernetes" in recorded_pools else None
        self.context = context = Context(
            settings=settings,
            store=opening.open_executors_store(settings),
            owner=opening.make_owner(self.job_id),
            pools=recorded_pools,
            default_queue=str(conf.get("operators", "default_queue", fallback="default")),
            reports=self._reports,
            trusts_ids=compat.assigns_ids(self),
            make_workloads=lambda workload_ids: compat.make_workloads(workload_ids, self, share=settings.share),
            clock=self.clock,
            metrics=self.metrics,
            sleep=self.sleep,
            free_slots=self._free_slots,
        )
        self._loop = Loop(
            context,
            pod_launch_retries=kubernetes.pod_launch_failure_retries if kubernetes else 0,
            read_identity=lambda: read_identity(conf, instance=settings.instance),
        )
        self._loop.begin(lambda: opening.check_deployment(context))
        if kubernetes is not None and settings.agent == "child":
            self._child = AgentChild(f"{settings.instance}-{context.owner}", shape=self.shape, team=self.team)
            self._child.supervise()
        self._local = LocalWork(local_pools, self._reports)
        self._local.start()
        self.log.info("Routes%s: %s", f" of team {self.team}" if self.team else "", settings.routes)

    def end(self) -> None:
        """Wait for local workloads, take in what happened and stop the agent. The next scheduler adopts the rest."""
        local, self._local = self._local, LocalWork({}, self._reports)
        local.end()
        if self.context is not None:
            self.heartbeat()
            self._loop.end()
            self.terminate()

    def terminate(self) -> None:
        """Stop the agent and close all connections at once."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self.context is not None:
            self.context.close()
            self.context = None

    # ---- each loop of the scheduler ----

    def queue_workload(self, workload: AirflowWorkload, session: Session) -> None:
        """Let a workload wait for the next heartbeat. Never raises: one of an unknown kind fails alone."""
        try:
            submission.check_known(workload)
            super().queue_workload(workload, session)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - an exception here would end the scheduler
            reason = submission.why_not(error, type(workload).__name__)
            self.log.error("A workload fails alone: %s", reason)
            if event := compat.failed_event(workload):
                self.change_state(*event, reason, remove_running=False)

    def heartbeat(self) -> None:
        """Submit what waits and take in what happened. Never raises; while Redis is unavailable it returns soon."""
        try:
            if not self._beat():
                self._wait_for_events()
            self._complaints.settle("heartbeat", "Heartbeats succeed again")
        except StoreUnavailable:
            pass  # logged by the outage
        except Exception as error:  # noqa: BLE001 - an exception here would end the scheduler
            self._complaints.unexpected("heartbeat", "A heartbeat failed; the next one tries again", error=error)

    def _beat(self) -> bool:
        """Do the work of a heartbeat, and measure it; return whether there was something to submit."""
        began = time.perf_counter()
        try:
            self._task_event_logs.release()
            self._tell_slots()
            try:
                return self._submit_queued()
            finally:
                self.sync()
        finally:
            self.metrics.time(metric.HEARTBEAT_TIME, time.perf_counter() - began)
            self.metrics.flush()

    def _tell_slots(self) -> None:
        """Send Airflow's own metrics of executors. Where its stats fail, tasks are submitted all the same."""
        open_slots = self.slots_available
        try:
            self._emit_metrics(open_slots, len(self.running), compat.count_queued(self))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - no task waits because a number cannot be sent
            self.log.debug("Airflow's metrics of this executor cannot be sent: %s", error)

    def _submit_queued(self) -> bool:
        """Submit what there is room for; return whether there was something to submit."""
        context = self.context
        if context is None or not compat.count_queued(self):
            return False
        free, open_pools = self._free_slots(), set(self._local.occupied)
        if context.outage.may_ask():
            open_pools |= set(context.pools)
            context.placing.ask()
        room = context.placing.room({pool: free[pool] for pool in open_pools})
        if not room.slots:
            return False
        waiting = still_queued.still_queued(context, compat.queued_workloads(self))
        admitted = self._asking(room).admit(
            (workload for _, workload in waiting), turns=context.turns, holding=context.ledger.by_queue
        )
        return submission.in_batches(admitted, self._submit, clock=self.clock)

    def _asking(self, room: Room) -> Asking:
        default_queue = self.context.default_queue if self.context is not None else "default"
        return Asking(room, self.settings.routes, default_queue=default_queue)

    def _process_workloads(self, workload_items: Sequence[AirflowWorkload]) -> None:
        """Submit workloads now, however many slots are free. What finds every target full waits for a heartbeat."""
        if self.context is None:
            raise HybridError("The executor has not been started")
        self.context.placing.ask()
        asking = self._asking(self.context.placing.room(dict.fromkeys(self.settings.routes.pools, 2**31)))
        for workload in workload_items:
            if target := asking.ask(workload):
                self._submit([(workload, target)])
            else:
                super().queue_workload(workload, None)  # type: ignore[arg-type]

    def _submit(self, placed: Sequence[tuple[AirflowWorkload, Target]]) -> None:
        """Submit workloads. One that cannot be run fails alone; while Redis is unavailable they stay queued."""
        assert self.context is not None
        submission.submit(self.context, self._local.submit(placed))

    def sync(self) -> None:
        """Take in what happened, and do the timed repairs that are due."""
        self._local.sync()
        if self._child is not None:
            self._child.supervise()
        if self.context is not None:
            self._loop.run()

    def _wait_for_events(self) -> None:
        """Let the scheduler's next loop begin when a task has ended, at the latest after ``event_wait``."""
        if self.context is not None and self.settings.event_wait_seconds:
            slice_seconds = _LOCAL_SLICE_SECONDS if self._local.occupied else _SLICE_SECONDS
            self._loop.wait(until=self._has_news, ask_every_seconds=slice_seconds)

    def _has_news(self) -> bool:
        self._local.sync()
        return bool(self.event_buffer)

    def change_state(
        self,
        key: WorkloadKey,
        state: WorkloadState,
        info: object = None,
        remove_running: bool = True,
        workload_run_id: str | None = None,
    ) -> None:
        """Put an event in the buffer; where Airflow itself ends an attempt, that attempt is revoked too.

        :param workload_run_id: which queueing of the key it is about, in the releases of Airflow that ask for it.
        """
        newer: dict[str, Any] = {"workload_run_id": workload_run_id} if workload_run_id else {}
        super().change_state(key, state, info, remove_running=remove_running, **newer)
        if remove_running and self.context is not None:
            revocation.give_up(self.context, key)

    # ---- slots ----

    def _limits(self) -> dict[str, int]:
        return {pool: min(self.parallelism, self.settings.parallelism[pool]) for pool in self.settings.routes.pools}

    def _free_slots(self) -> dict[str, int]:
        return slots.free_slots(self._limits(), self._occupied())

    def _occupied(self) -> dict[str, int]:
        occupied = self._local.occupied
        if self.context is not None:
            occupied |= {name: self.context.ledger.count(name) for name in self.context.pools}
        return occupied

    @property
    def slots_available(self) -> int:
        """How many more workloads may come, summed over pools.

        A full pool does not count against another, nor does what waits for a full target. What waits and could go to
        several pools takes the slot that it would get.
        """
        context = self.context
        room = context.placing.room() if context is not None else Room(self._free_slots())
        self._asking(room).fill(compat.waiting_workloads(self))
        return room.slots

    @property
    def slots_occupied(self) -> int:
        """What the scheduler is to subtract from its parallelism, so that it stops only when every pool is full.

        With other executors beside this one, it is what this one has: free slots of one do not count for another.
        """
        if not self._is_alone:
            return sum(self._occupied().values()) + compat.count_queued(self)
        return max(0, self.parallelism - self.slots_available)

    # ---- tasks of dead schedulers, stuck tasks ----

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt task instances of a dead scheduler; return those that are to be reset."""
        if self.context is None:
            return tis
        try:
            return adoption.adopt(self.context, tis)
        except Exception:  # noqa: BLE001 - raising here would end the scheduler while it holds row locks
            self.log.exception("Adoption failed; Airflow's own time-outs decide about these task instances")
            return []

    def adopt_launched_task(self, ti: TaskInstance, last_heartbeat: Any = None, session: Any = None) -> bool:
        """Take over one launched attempt; return whether it is ours now. ``last_heartbeat``, ``session`` are unused."""
        return not self.try_adopt_task_instances([ti])

    def revoke_task(self, *, ti: TaskInstance) -> None:
        """Make sure that a task's attempt will not start. Never raises, and makes no event."""
        try:
            compat.drop_queued(self, ti.key)
            self.running.discard(ti.key)
            if self.context is None:
                return
            attempt = AttemptId(ti.external_executor_id or "")
            if words := revocation.take_back(self.context, ti.key, attempt=attempt):
                self.log_task_event(event=STUCK_EVENT, extra=self.settings.words(words), ti_key=ti.key)
        except StoreUnavailable:
            pass  # logged by the outage; the attempt is revoked when Redis can be asked
        except Exception:  # noqa: BLE001 - raising here would keep all other stuck tasks waiting
            self.log.exception("A stuck task could not be revoked at once")

    # ---- documented and diagnostic ----

    def execute_async(
        self, key: WorkloadKey, command: Any, queue: str | None = None, executor_config: Any = None
    ) -> None:
        """Submit one workload now.

        :param key: Airflow's key of the workload.
        :param command: the workload, or a list that holds just it.
        :param queue, executor_config: used in place of the workload's own where given.
        """
        workload = command[0] if isinstance(command, list | tuple) and len(command) == 1 else command
        workload = compat.with_changes(workload, queue=queue, executor_config=executor_config)
        if compat.key_of(workload) != key:
            raise ValueError(f"The key {key} is not that of the workload, {compat.key_of(workload)}")
        self._process_workloads([workload])

    def get_task_log(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[str]]:
        """Return the log of a task's running pod, or nothing for tasks of other pools."""
        return self._pod_logs.read(ti, try_number)

    def get_streaming_task_log(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[Iterator[str]]]:
        """Return the same as streams of lines, for the releases of Airflow that ask for them."""
        return self._pod_logs.stream(ti, try_number)

    def debug_dump(self) -> None:
        """Log what this executor holds: routes, slots, attempts by pool and state, and whether Redis answers."""
        super().debug_dump()  # type: ignore[no-untyped-call]
        for line in describe(self.context, self._limits(), self._occupied()):
            self.log.info("%s", line)

    @staticmethod
    def get_cli_commands() -> list[Any]:
        """Return the command group ``airflow hybrid``."""
        from hybrid_executor.cli.definition import get_hybrid_cli_commands

        return get_hybrid_cli_commands()
