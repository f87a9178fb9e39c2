"""What is known around one attempt: who could take it, and what stands before it."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_executor.config import Settings
from hybrid_executor.events import AttemptId
from hybrid_executor.insight.attempts import AttemptView
from hybrid_executor.insight.facts import read_members
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.targets import onward
from hybrid_executor.store import LaunchPlace, Store


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything besides its record that decides what an attempt waits for. Times are seconds.

    :ivar now: since the epoch, on the Redis server's clock.
    :ivar redis: why Redis refuses writes, "" where it does not.
    :ivar is_owner_alive: of the scheduler that is responsible; ``None`` where that is not known.
    :ivar broker_is_store: the broker's queues are in the store's Redis, so that the place in a queue is known.
    :ivar ahead: messages that are handed out before this one; ``None`` where it is in no queue.
    :ivar launch: its place in the launch stream; ``None`` where it is not there.
    :ivar starting: pods of its cluster on their way to their start. :ivar starting_limit: how many there may be, 0 for
        not known.
    :ivar is_unsettled: Redis was restarted a moment ago, and attempts that were submitted before have to wait.
    :ivar unawaited: Airflow's state of the task instance where Airflow does not wait for the attempt any more, such as
        "skipped", "" where it waits or where that is not known.
    :ivar onward: where it goes on to if it does not start, and when, as a sentence; "" if it stays.
    :ivar heartbeat_age: since the task's last heartbeat to Airflow; ``None`` where there is none.
    """

    now: float
    workers: tuple[WorkerView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    redis: str = ""
    is_owner_alive: bool | None = None
    broker_is_store: bool = True
    ahead: int | None = None
    launch: LaunchPlace | None = None
    starting: int = 0
    starting_limit: int = 0
    is_unsettled: bool = False
    unawaited: str = ""
    onward: str = ""
    heartbeat_age: float | None = None
    token_seconds: float = 600.0
    patience_seconds: float = 120.0
    worker_lost_after_seconds: float = 30.0
    agent_lease_seconds: float = 10.0

    def worker(self, name: str) -> WorkerView | None:
        """Return the worker of this name."""
        return next((worker for worker in self.workers if worker.name == name), None)

    def serving(self, queue: str) -> list[WorkerView]:
        """Return the living workers that take messages of a queue."""
        return [worker for worker in self.workers if worker.is_alive and queue in worker.queues]

    def agents_of(self, cluster: str) -> list[AgentView]:
        """Return the living agents of a cluster."""
        return [agent for agent in self.agents if agent.is_alive and cluster in agent.clusters]

    def watcher_of(self, cluster: str, namespace: str) -> AgentView | None:
        """Return the agent that watches a namespace."""
        places = {f"{cluster}/{namespace}", f"{cluster}/*"}
        return next((agent for agent in self.agents_of(cluster) if places & set(agent.watches)), None)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What is said of one attempt.

    :ivar where: where it is, as words after "is": "queued in queue etl".
    :ivar waits_for: what it waits for now, "" where it waits for nothing.
    :ivar advice: what to do, "" for nothing.
    """

    where: str
    waits_for: str = ""
    advice: str = ""


def read_situation(
    store: Store,
    settings: Settings,
    attempt: AttemptView,
    *,
    is_owner_alive: bool | None = None,
    heartbeat_age: float | None = None,
    redis: str = "",
) -> Situation:
    """Return what is known around an attempt.

    :raises StoreUnavailable: Redis could not be asked.
    """
    view = store.view
    milliseconds = view.now()
    workers, agents = read_members(store, now=milliseconds)
    ahead: int | None = None
    launch: LaunchPlace | None = None
    starting = limit = 0
    waits = attempt.state in ("submitted", "launching")
    if attempt.pool == "celery" and waits and settings.broker_is_store:
        ahead = view.place_in_queue(settings.broker.key_prefix + attempt.queue, AttemptId(attempt.id))
    elif attempt.pool == "kubernetes" and waits:
        launch = view.place_in_launches(attempt.cluster, AttemptId(attempt.id))
        starting, limit = view.starting(attempt.cluster)
    unsettled = view.unsettled_before()
    return Situation(
        now=milliseconds / 1000,
        workers=workers,
        agents=agents,
        redis=redis,
        is_owner_alive=is_owner_alive,
        broker_is_store=settings.broker_is_store,
        ahead=ahead,
        launch=launch,
        starting=starting,
        starting_limit=settings.starting_pods or limit,
        is_unsettled=bool(unsettled) and attempt.submitted_at * 1000 <= unsettled,
        onward=onward(
            settings,
            queue=attempt.queue,
            target_name=attempt.target,
            waited=milliseconds / 1000 - (attempt.placed_at or attempt.submitted_at),
        )
        if attempt.route and attempt.state in ("submitted", "launching", "pending")
        else "",
        heartbeat_age=heartbeat_age,
        token_seconds=settings.token_seconds,
        patience_seconds=settings.launch_patience_seconds,
        worker_lost_after_seconds=settings.worker_lost_after_seconds,
        agent_lease_seconds=settings.agent_lease_seconds,
    )
