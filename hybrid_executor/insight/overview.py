"""The whole deployment at one moment: who is alive, what waits where, and what is wrong, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hybrid_executor import compat
from hybrid_executor.config import Settings
from hybrid_executor.errors import ConfigError, HybridError, StoreRefused, StoreUnavailable
from hybrid_executor.insight.facts import Facts, read_facts
from hybrid_executor.insight.members import AgentView, WorkerView
from hybrid_executor.insight.problems import Problem, find_problems, in_order, in_words_of, problems_of_schedulers
from hybrid_executor.insight.queues import QueueView, read_messages, view_queues
from hybrid_executor.insight.slots import PoolView, SchedulerView, view_pools, view_schedulers
from hybrid_executor.insight.targets import TargetView, view_targets
from hybrid_executor.insight.warm import WarmView, view_warm
from hybrid_executor.states import State
from hybrid_executor.store import Record, Store

RECENT_SECONDS = 15 * 60
_MOST_FAILED = 200
_FAILED_FIELDS = ("dag_id", "pool", "queue", "reason", "category", "ended_at")
_CURES = {
    "READONLY": "Let the address lead to the primary ([hybrid_executor] redis_url).",
    "OOM": "Raise maxmemory in redis.conf, or delete what does not belong there.",
    "MISCONF": "Give Redis room on its disk and the right to write there; its log says why it cannot save.",
    "NOREPLICAS": "Start the replicas again, or lower min-replicas-to-write.",
    "LOADING": "Wait until Redis has loaded its data.",
    "BUSY": "Wait, or end the script: redis-cli SCRIPT KILL.",
}
_UNAVAILABLE = (
    "Start Redis, or correct [hybrid_executor] redis_url ([celery] broker_url where that is not set). Tasks stay "
    "queued and what runs goes on; nothing fails because of it. airflow hybrid doctor redis shows more."
)


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """One cluster of the routes.

    :ivar agents: the living agents that create its pods. :ivar watched_by: by namespace (``*`` is all of them).
    :ivar starting: pods on their way to their task's start. :ivar limit: how many there may be now, 0 if unknown.
    :ivar pods: live attempts, by state.
    """

    name: str
    agents: tuple[str, ...] = ()
    watched_by: dict[str, str] = field(default_factory=dict)
    starting: int = 0
    limit: int = 0
    pods: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LiveCount:
    """How many live attempts there are of one pool, queue and state."""

    pool: str
    queue: str
    state: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A deployment.

    :ivar redis, database: "ok", or why it cannot be used; what it would have told is missing then.
    :ivar problems: worst first.
    """

    instance: str
    redis: str = "ok"
    database: str = "ok"
    problems: tuple[Problem, ...] = ()
    schedulers: tuple[SchedulerView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    workers: tuple[WorkerView, ...] = ()
    pools: tuple[PoolView, ...] = ()
    queues: tuple[QueueView, ...] = ()
    clusters: tuple[ClusterView, ...] = ()
    warm: tuple[WarmView, ...] = ()
    targets: tuple[TargetView, ...] = ()
    live: tuple[LiveCount, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Work stands still or is lost somewhere."""
        return any(problem.severity == "failure" for problem in self.problems)


@dataclass(frozen=True, kw_only=True)
class _FromRedis:
    facts: Facts
    messages: dict[str, int] = field(default_factory=dict)
    failed: tuple[Record, ...] = ()
    starting: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_overview(store: Store, settings: Settings) -> Overview:
    """Return the deployment. A Redis or a database that cannot be asked is a problem in it, not an error.

    The only key that is written is one that expires a second later, to see whether Redis accepts writes.
    """
    return read_with_facts(store, settings)[0]


def read_with_facts(store: Store, settings: Settings) -> tuple[Overview, Facts]:
    """Return what :func:`read_overview` does, and what was read of Redis for it; empty if Redis could not be asked."""
    database, rows, queued = _read_database(settings)
    problems: list[Problem] = []
    redis = "ok"
    told = _FromRedis(facts=Facts(now=0))
    try:
        told = _read_redis(store, settings)
        store.check_writes()
    except (StoreUnavailable, ConfigError) as error:
        redis = str(error)
        problems.append(_redis_problem(error))
    if database != "ok":
        problems.append(
            Problem(
                severity="failure",
                subject="database",
                what=f"Airflow's database cannot be asked: {database}",
                cure="Start it, or correct [database] sql_alchemy_conn. Schedulers are not shown below.",
            )
        )
    facts = told.facts
    schedulers = view_schedulers(rows, facts.records) if database == "ok" else None
    is_known = facts.now > 0
    queues = tuple(view_queues(facts, settings, messages=told.messages, queued=queued)) if is_known else ()
    pools = view_pools(settings, schedulers or (), facts.records, queues) if is_known else ()
    targets = view_targets(facts, settings) if is_known else ()
    if is_known:
        problems += find_problems(
            facts,
            settings,
            schedulers=schedulers,
            pools=pools,
            targets=targets,
            queues=queues,
            failed=told.failed,
        )
    elif schedulers is not None:
        problems += problems_of_schedulers(schedulers)
    overview = Overview(
        instance=settings.instance,
        redis=redis,
        database=database,
        problems=tuple(in_words_of(settings, in_order(problems))),
        schedulers=schedulers or (),
        agents=facts.agents,
        workers=facts.workers,
        pools=pools,
        queues=queues,
        clusters=_clusters(facts, settings, told.starting) if is_known else (),
        warm=_warm(facts, settings) if is_known else (),
        targets=targets,
        live=count_live(facts.records),
    )
    return overview, facts


def _warm(facts: Facts, settings: Settings) -> tuple[WarmView, ...]:
    names = [(cluster, name) for cluster in settings.clusters for name in settings.warm_profiles(cluster)]
    return view_warm(names, facts.agents, facts.records)


def count_live(records: Sequence[Record]) -> tuple[LiveCount, ...]:
    """Return how many attempts there are by pool, queue and state, in this order."""
    counts = Counter((record.pool, record.queue, record.state.value) for record in records)
    return tuple(
        LiveCount(pool=pool, queue=queue, state=state, attempts=count)
        for (pool, queue, state), count in sorted(counts.items())
    )


def _read_redis(store: Store, settings: Settings) -> _FromRedis:
    facts = read_facts(store, settings)
    failed = store.view.recent(
        _FAILED_FIELDS, states=(State.FAILED,), since=max(0, facts.now - RECENT_SECONDS * 1000), most=_MOST_FAILED
    )
    clusters = settings.clusters if "kubernetes" in settings.routes.pools else {}
    return _FromRedis(
        facts=facts,
        messages=read_messages(store, settings, facts),
        failed=tuple(record for record in failed if record.state is State.FAILED),
        starting={name: store.view.starting(name) for name in clusters},
    )


def _read_database(settings: Settings) -> tuple[str, Sequence[compat.SchedulerRow], Sequence[compat.QueuedCount]]:
    """Return "ok" or why the database cannot be asked, its schedulers, and its queued task instances by queue."""
    try:
        with compat.own_session() as session:
            return "ok", compat.read_schedulers(session), compat.count_queued_tasks(session, share=settings.share)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, Redis is shown
        return compat.database_trouble(error), (), ()


def _clusters(facts: Facts, settings: Settings, starting: dict[str, tuple[int, int]]) -> tuple[ClusterView, ...]:
    views = []
    for name in settings.clusters if "kubernetes" in settings.routes.pools else ():
        alive = [agent for agent in facts.agents if agent.is_alive and name in agent.clusters]
        watched = {
            place.partition("/")[2]: agent.name
            for agent in alive
            for place in agent.watches
            if place.partition("/")[0] == name
        }
        under_way, limit = starting.get(name, (0, 0))
        states = Counter(record.state.value for record in facts.records if record.cluster == name)
        views.append(
            ClusterView(
                name=name,
                agents=tuple(agent.name for agent in alive),
                watched_by=watched,
                starting=under_way,
                limit=settings.starting_pods or limit,
                pods=dict(sorted(states.items())),
            )
        )
    return tuple(views)


def _redis_problem(error: HybridError) -> Problem:
    code = error.code if isinstance(error, StoreRefused) else ""
    is_config = isinstance(error, ConfigError)
    cure = _CURES.get(code) or ("Correct it as the message says." if is_config else _UNAVAILABLE)
    words = str(error)
    return Problem(severity="failure", subject="Redis", what=words if words.endswith(".") else f"{words}.", cure=cure)
