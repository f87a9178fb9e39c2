"""HybridExecutor: Airflow's hooks, and what each of them sets going."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from airflow.executors.base_executor import BaseExecutor

from hybrid_executor import compat
from hybrid_executor.config import RedisLocation, Settings, airflow_config, read_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.settings import Shape
from hybrid_executor.errors import ConfigError, HybridError, StoreForbidden, StoreUnavailable, TaskRejected
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.executor import slots
from hybrid_executor.executor.abandoned import Abandoned
from hybrid_executor.executor.adoption import Adoption
from hybrid_executor.executor.child import AgentChild
from hybrid_executor.executor.desk import Desk, RecordedPool
from hybrid_executor.executor.dump import describe
from hybrid_executor.executor.event_log import EventLog
from hybrid_executor.executor.intake import Intake
from hybrid_executor.executor.ledger import Tracked
from hybrid_executor.executor.logs import PodLogs
from hybrid_executor.executor.repair import Repair
from hybrid_executor.executor.revived import end_revived
from hybrid_executor.executor.starts import StartReports
from hybrid_executor.executor.steps import Steps
from hybrid_executor.executor.submission import Refused, Submitter, why_not
from hybrid_executor.executor.unserved import UnservedWarnings
from hybrid_executor.executor.waiting import STUCK_EVENT, waited_for
from hybrid_executor.pools.celery_broker import check_broker
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.states import State
from hybrid_executor.store import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

    from hybrid_executor.compat import AirflowWorkload, WorkloadKey, WorkloadState

_KEEP_EVENTS = 10_000
_TRIM_SECONDS = 60.0
_LARGEST_BATCH = 1_000
_ANSWER_SECONDS = 2.0


class HybridExecutor(compat.SupportedWorkloads, BaseExecutor):
    """Routes every task by its ``queue``: Kubernetes queues become pods, all others go to Celery workers."""

    pre_assigns_external_executor_id: ClassVar[bool] = True
    sentry_integration = "sentry_sdk.integrations.celery.CeleryIntegration"
    is_local = False
    serve_logs = False

    shape: ClassVar[Shape] = "hybrid"
    """Which routes there are when none are configured."""

    _desk: Desk | None = None
    _child: AgentChild | None = None
    _next_repair = 0.0
    _next_trim = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._task_event_logs: EventLog = EventLog()

    @cached_property
    def settings(self) -> Settings:
        """The deployment's settings, read when first needed.

        :raises ConfigError: a value is wrong.
        """
        return read_settings(airflow_config(), shape=self.shape)

    @cached_property
    def _pod_logs(self) -> PodLogs:
        return PodLogs(self.settings)

    # ---- life ----

    def start(self) -> None:
        """Check the configuration, open the store, and start the agent where this scheduler runs one.

        :raises ConfigError: the configuration cannot work; the message says what to write.
        """
        compat.check_queues(self)
        conf = airflow_config()
        pools = self._make_pools(conf)
        kubernetes = read_kubernetes_settings(conf) if "kubernetes" in self.settings.routes.pools else None
        location = self.settings.require_redis()
        self._desk = desk = Desk(
            settings=self.settings,
            store=self._open_store(location),
            owner=OwnerId(str(self.job_id) if self.job_id is not None else f"none-{uuid4()}"),
            pools=pools,
            default_queue=str(conf.get("operators", "default_queue", fallback="default")),
            report=self._report,
            make_workloads=lambda task_ids: compat.make_workloads(task_ids, self),
        )
        self._intake = Intake(desk)
        self._submitter = Submitter(desk)
        self._start_reports = StartReports(desk)
        self._adoption = Adoption(desk, self._intake, self._track)
        self._repair = Repair(
            desk, self._intake, pod_launch_retries=kubernetes.pod_launch_failure_retries if kubernetes else 0
        )
        self._unserved = UnservedWarnings(desk)
        self._abandoned = Abandoned(desk)
        self._steps = Steps()
        try:
            with desk.outage.watch():
                desk.store.ping()
                desk.store.check_permissions(self._default_lists(desk))
                self._intake.place()
                if "celery" in pools:
                    check_broker(self.settings)
        except StoreForbidden:
            raise
        except StoreUnavailable:
            pass  # said by the outage; heartbeats go on asking
        if kubernetes is not None and self.settings.agent == "child":
            self._child = AgentChild(f"{self.settings.instance}-{desk.owner}", shape=self.shape)
            self._child.supervise()
        self.log.info("Routes: %s", self.settings.routes)

    def _default_lists(self, desk: Desk) -> list[str]:
        """Return the broker list on the store's Redis that most work goes to, empty where there is none."""
        pool = desk.pools.get(self.settings.routes.find(desk.default_queue).pool)
        key = pool.list_key(desk.default_queue) if pool is not None else ""
        return [key] if key else []

    def _make_pools(self, conf: Any) -> dict[str, RecordedPool]:
        pools: dict[str, RecordedPool] = {}
        if "local" in self.settings.routes.pools:
            raise ConfigError(
                "[hybrid_executor] routes sends queues to local, which only LocalKubernetesExecutor has: set [core] "
                "executor = hybrid_executor.LocalKubernetesExecutor, or write 'celery' in its place."
            )
        if "celery" in self.settings.routes.pools:
            from hybrid_executor.pools.celery import make_celery_pool

            pools["celery"] = make_celery_pool(conf, self.settings)
        if "kubernetes" in self.settings.routes.pools:
            pools["kubernetes"] = KubernetesPool(kinds=compat.kinds_in_pods())
        return pools

    def _open_store(self, location: RedisLocation) -> Store:
        return open_store(
            RedisSettings(
                url=location.url, options=location.options, connect_seconds=1.0, answer_seconds=_ANSWER_SECONDS
            ),
            instance=self.settings.instance,
            retention_seconds=self.settings.record_retention_seconds,
            payload_seconds=int(self.settings.token_seconds),
        )

    def end(self) -> None:
        """Take in what is there and stop the agent. What runs goes on; the next scheduler adopts it."""
        if self._desk is None:
            return
        self.heartbeat()
        self.terminate()

    def terminate(self) -> None:
        """Stop the agent and close all connections at once."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._desk is not None:
            self._desk.close()
            self._desk = None

    # ---- each loop of the scheduler ----

    def queue_workload(self, workload: AirflowWorkload, session: Session) -> None:
        """Let a workload wait for the next heartbeat. Never raises: one of an unknown kind fails alone."""
        try:
            if not compat.is_known(workload):
                raise TaskRejected(
                    f"This release of airflow-hybrid-executor cannot run a {type(workload).__name__} of Airflow "
                    f"{compat.airflow_version()}: install a newer release, or use another executor for it"
                )
            super().queue_workload(workload, session)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - an exception here would end the scheduler
            reason = why_not(error, type(workload).__name__)
            self.log.error("A workload fails alone: %s", reason)
            if event := compat.failed_event(workload):
                self.change_state(*event, reason, remove_running=False)

    def heartbeat(self) -> None:
        """Hand out what waits and take in what happened. Never raises; with Redis away it returns soon."""
        try:
            self._task_event_logs.release()
            self._emit_metrics(  # type: ignore[no-untyped-call]
                self.slots_available, len(self.running), compat.count_queued(self)
            )
            self._hand_out()
            self.sync()
        except StoreUnavailable:
            pass  # said by the outage
        except Exception:  # noqa: BLE001 - an exception here would end the scheduler
            self.log.exception("A heartbeat failed; the next one tries again")

    def _hand_out(self) -> None:
        if self._desk is None or not self._desk.outage.may_ask():
            return
        waiting = compat.queued_workloads(self)
        if waiting:
            admitted = slots.admit(waiting, free=self._free_for_waiting(), pool_of=self._pool_of, most=_LARGEST_BATCH)
            if admitted:
                self._process_workloads(admitted)

    def _process_workloads(self, workload_items: Sequence[AirflowWorkload]) -> None:
        """Submit workloads in one round trip. What cannot be run fails alone; with Redis away all stay queued."""
        if self._desk is None:
            raise HybridError("The executor has not been started")
        for accepted in self._submitter.submit(workload_items, self._refuse):
            compat.drop_queued(self, accepted.tracked.key)
            self._track(accepted.tracked)
            if accepted.is_new_id and accepted.tracked.kind == "task":
                self.change_state(
                    accepted.tracked.key,
                    compat.event_states(accepted.tracked.key)["queued"],
                    accepted.tracked.attempt,
                    remove_running=False,
                )
            if accepted.tracked.state.is_terminal:
                self._intake.must_reconcile = True

    def _refuse(self, refused: Refused) -> None:
        compat.drop_queued(self, refused.key)
        self._tell(refused.key, State.FAILED, refused.reason, refused.workload_run_id)

    def sync(self) -> None:
        """Take in events, and do the timed repairs that are due."""
        if self._child is not None:
            self._child.supervise()
        desk = self._desk
        if desk is None or not desk.outage.may_ask():
            return
        steps = self._steps
        with desk.outage.watch():
            steps.do("send the messages that wait", self._submitter.publish_unsent)
            steps.do("end what the broker refused", self._submitter.fail_refused)
            steps.do("take in events", self._intake.read)
            if self._intake.must_reconcile and steps.do("read the records again", self._repair.reread):
                self._intake.must_reconcile = False
            if self._intake.lost:
                steps.do("decide about lost attempts", self._repair.decide_lost)
            steps.do("tell which pods have started", self._start_reports.tell)
            steps.do("revoke what Airflow has ended", self._abandoned.revoke)
            steps.do("look up adopted task instances", self._adoption.resume)
            now = time.monotonic()
            if self._intake.data_was_lost or now >= self._next_repair:
                # Workers cannot announce themselves to a Redis that refuses writes: their silence means nothing then.
                desk.store.check_writes()
                self._next_repair = now + desk.settings.repair_interval_seconds
                if self._intake.data_was_lost:
                    steps.do("end what came back", lambda: end_revived(desk, expected=self._adoption.expected))
                if self._repair.run(steps):
                    self._intake.data_was_lost = False
                steps.do("look for queues that nobody serves", self._unserved.look)
            if now >= self._next_trim:
                self._next_trim = now + _TRIM_SECONDS
                keep_seconds = desk.settings.event_retention_seconds
                events = desk.store.events
                steps.do("trim the events", lambda: events.trim(keep_entries=_KEEP_EVENTS, keep_seconds=keep_seconds))

    # ---- what Airflow is told ----

    def _track(self, tracked: Tracked) -> None:
        if self._desk is None:
            return
        older = self._desk.ledger.add(tracked)
        self.running.add(tracked.key)
        if older is None:
            return
        if older.state is State.RUNNING:
            # A deferred task may resume before its first process has ended: that process is left to end by itself.
            older.is_superseded = True
            self._desk.ledger.add(older)
        else:
            self._abandoned.add(older.attempt)

    def _report(self, tracked: Tracked, state: State, reason: str) -> None:
        if tracked.is_superseded:
            return
        if state.is_terminal:
            self.running.discard(tracked.key)
        if state is State.SUCCEEDED and not reason:
            # Airflow shows this only where it did not hear of the task's end from the task itself.
            where = f"on {tracked.holder} " if tracked.holder else ""
            reason = f"The attempt {where}ended with exit code 0, but its task never reported its end"
        if state is not State.REVOKED:
            self._tell(tracked.key, state, reason, tracked.workload_run_id)

    def _tell(self, key: WorkloadKey, state: State, info: str, workload_run_id: str) -> None:
        if state is State.FAILED and compat.is_task_key(key):
            self.log_task_event(event="hybrid executor: attempt failed", extra=info, ti_key=key)
        told = compat.event_key(key)
        self.change_state(
            told,
            compat.event_states(key)[state.value],
            info or None,
            remove_running=False,
            workload_run_id=workload_run_id or None,
        )

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
        if remove_running and self._desk is not None:
            tracked = self._desk.ledger.of_key(key)
            if tracked is not None:
                self._desk.ledger.remove(tracked.attempt)
                self._abandoned.add(tracked.attempt)

    # ---- slots ----

    def _pool_of(self, workload: AirflowWorkload) -> str:
        """Return the pool that a workload goes to; that of the default queue where its own cannot be told.

        Never raises: the workload is refused alone when it is prepared.
        """
        default_queue = self._desk.default_queue if self._desk is not None else "default"
        try:
            queue = compat.queue_of(workload, default_queue=default_queue)
        except Exception:  # noqa: BLE001 - whatever is wrong with it is told when it is prepared
            queue = default_queue
        return self.settings.routes.find(queue).pool

    def _limits(self) -> dict[str, int]:
        return {pool: min(self.parallelism, self.settings.parallelism[pool]) for pool in self.settings.routes.pools}

    def _live_count(self, pool: str) -> int:
        return self._desk.ledger.count(pool) if self._desk is not None else 0

    def _free_for_waiting(self) -> dict[str, int]:
        limits = self._limits()
        return slots.free_slots(limits, {pool: self._live_count(pool) for pool in limits})

    @property
    def slots_available(self) -> int:
        """How many more workloads may come, summed over pools; a full pool does not count against another."""
        limits = self._limits()
        occupied = {pool: self._live_count(pool) for pool in limits}
        for _, workload in compat.queued_workloads(self):
            occupied[self._pool_of(workload)] += 1
        return sum(slots.free_slots(limits, occupied).values())

    @property
    def slots_occupied(self) -> int:
        """What the scheduler is to subtract from its parallelism, so that it stops only when every pool is full."""
        return max(0, self.parallelism - self.slots_available)

    # ---- tasks of dead schedulers, stuck tasks ----

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Answer for task instances of a dead scheduler; return those that are to be reset."""
        if self._desk is None:
            return tis
        try:
            return self._adoption.adopt(tis)
        except Exception:  # noqa: BLE001 - raising here would end the scheduler while it holds row locks
            self.log.exception("Adoption failed; Airflow's own time-outs decide about these task instances")
            return []

    def adopt_launched_task(self, ti: TaskInstance, last_heartbeat: Any = None, session: Any = None) -> bool:
        """Take over one launched attempt; return whether it is ours now. ``last_heartbeat``, ``session`` are unused."""
        return not self.try_adopt_task_instances([ti])

    def revoke_task(self, *, ti: TaskInstance) -> None:
        """Make sure that a task's attempt will not start. Never raises, and makes no event."""
        try:
            key = ti.key
            compat.drop_queued(self, key)
            self.running.discard(key)
            if self._desk is None:
                return
            tracked = self._desk.ledger.of_key(key)
            attempt = tracked.attempt if tracked is not None else AttemptId(ti.external_executor_id or "")
            if tracked is not None:
                self._desk.ledger.remove(attempt)
            if attempt:
                self._abandoned.add(attempt)
                record = self._abandoned.withdraw(attempt)
                if words := waited_for(record):
                    self.log_task_event(event=STUCK_EVENT, extra=words, ti_key=key)
        except StoreUnavailable:
            pass  # said by the outage; it is revoked when Redis can be asked
        except Exception:  # noqa: BLE001 - raising here would keep all other stuck tasks waiting
            self.log.exception("A stuck task could not be revoked at once")

    # ---- documented and diagnostic ----

    def execute_async(
        self, key: WorkloadKey, command: Any, queue: str | None = None, executor_config: Any = None
    ) -> None:
        """Submit one workload now.

        :param key: what the scheduler knows it by.
        :param command: the workload, or a list that holds just it.
        :param queue, executor_config: used in place of the workload's own where given.
        """
        workload = command[0] if isinstance(command, list | tuple) and len(command) == 1 else command
        if compat.read_workload(workload).kind == "task" and (queue is not None or executor_config is not None):
            changes = {"queue": queue, "executor_config": executor_config}
            update = {name: value for name, value in changes.items() if value is not None}
            workload = workload.model_copy(update={"ti": workload.ti.model_copy(update=update)})
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
        limits = self._limits()
        for line in describe(self._desk, limits, {pool: self._live_count(pool) for pool in limits}):
            self.log.info("%s", line)

    @staticmethod
    def get_cli_commands() -> list[Any]:
        """Return the command group ``airflow hybrid``."""
        from hybrid_executor.cli.definition import get_hybrid_cli_commands

        return get_hybrid_cli_commands()
