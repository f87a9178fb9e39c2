"""The settings of a deployment, read once when a process starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import gaierror, getaddrinfo
from typing import Any, Literal
from urllib.parse import urlsplit

from hybrid_executor.config import table
from hybrid_executor.config.broker import GENERATED_BROKER, Broker, read_broker, redis_client_arguments
from hybrid_executor.config.coordinators import CoordinatorPod, read_coordinator_pods
from hybrid_executor.config.options import ConfigSource, Option
from hybrid_executor.config.profiles import DEFAULT_PROFILE, Profile, read_profiles
from hybrid_executor.config.redis_url import parse_redis_url
from hybrid_executor.config.teams import Share, in_words_of, read_instance, read_share
from hybrid_executor.errors import ConfigError
from hybrid_executor.fairness import Shares, parse_shares
from hybrid_executor.routing import Route, Routes, parse_routes
from hybrid_executor.targets import Target

log = logging.getLogger(__name__)

_TOKEN_LIFE = Option(
    section="scheduler",
    name="task_queued_timeout",
    type="float",
    default="600",
    minimum=1,
    unit="seconds",
    description="How long a workload's token is valid from the moment it is queued.",
)
_WAITS_AFTER_REDELIVERY_SECONDS = 3600
_CORE_PARALLELISM = Option(
    section="core", name="parallelism", type="int", default="32", minimum=0, description="Most tasks of one scheduler."
)

_IDLE_SLEEP = Option(
    section="scheduler",
    name="scheduler_idle_sleep_time",
    type="float",
    default="1",
    minimum=0,
    description="Seconds that Airflow's scheduler sleeps after a loop without work.",
)
_EXECUTORS = Option(section="core", name="executor", type="str", default="", description="Airflow's executors.")

Shape = Literal["hybrid", "kubernetes", "local_kubernetes"]
PodToken = Literal["args", "stdin"]


@dataclass(frozen=True)
class RedisLocation:
    """The address of Redis: a URL and more arguments of the client. Both may hold a password."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that executor, agents and workers of a deployment share.

    :ivar team: whose they are; "" for all teams.
    :ivar redis: ``None`` if neither ``redis_url`` nor a Redis ``broker_url`` is set; see :meth:`require_redis`.
    :ivar broker: the Celery broker.
    :ivar parallelism: maximum number of attempts of one scheduler, by pool.
    :ivar starting_pods: maximum number of starting pods of a cluster; 0 for an adaptive limit.
    :ivar pod_token: a pod gets its workload in the arguments of its container, or by its standard input.
    :ivar launch_patience_seconds: how long to retry after a refusal that may end soon or never.
    :ivar token_seconds: how long the token of a queued workload is valid.
    :ivar shares: of the queues, where slots are scarce.
    :ivar share: which tasks this executor gets in Airflow's multi-team mode; ``None`` outside of it.
    :ivar coordinator_pods: pod settings of Airflow's coordinators, by queue.
    """

    instance: str
    routes: Routes
    profiles: Mapping[str, Profile]
    redis: RedisLocation | None
    broker: Broker
    agent: Literal["child", "external", "none"]
    parallelism: Mapping[str, int]
    pod_creation_rate: float
    starting_pods: int
    launch_patience_seconds: float
    record_retention_seconds: int
    repair_interval_seconds: float
    worker_lost_after_seconds: float
    agent_lease_seconds: float
    relist_interval_seconds: float
    event_retention_seconds: float
    event_wait_seconds: float
    token_seconds: float
    shares: Shares = Shares()
    coordinator_pods: Mapping[str, CoordinatorPod] = field(default_factory=dict)
    team: str = ""
    share: Share | None = None
    pod_token: PodToken = "args"

    @property
    def broker_is_store(self) -> bool:
        """Messages can be written in the same transaction as records."""
        return self.redis is not None and self.broker.is_at(self.redis.url, self.redis.options)

    def profile_of(self, target: Target | Route) -> Profile:
        """Return the profile of a target, or of a route's first target; the empty profile where it has none."""
        return self.profiles.get(target.profile, DEFAULT_PROFILE)

    def cluster_of(self, queue: str) -> str:
        """Return the cluster of a queue's pods: that of its first target with pods."""
        route = self.routes.find(queue)
        target = next((target for target in route.targets if target.pool == "kubernetes"), route)
        return self.profile_of(target).cluster

    def cluster_of_profile(self, name: str) -> str:
        """Return the cluster of a profile's pods; "" stands for pods without a profile."""
        return self.profiles.get(name, DEFAULT_PROFILE).cluster

    @property
    def clusters(self) -> dict[str, Profile]:
        """The clusters of the routes by name, each with a profile that has its address."""
        return {profile.cluster: profile for profile in reversed(self._pod_profiles)}

    def warm_profiles(self, cluster: str) -> dict[str, Profile]:
        """Return the profiles of a cluster's routes that have warm pods, by name."""
        found = self._pod_profiles
        return {profile.name: profile for profile in found if profile.warm is not None and profile.cluster == cluster}

    @property
    def _pod_profiles(self) -> list[Profile]:
        """The profiles of all targets with pods, in the order of the routes."""
        return [self.profile_of(target) for target in self.routes.targets if target.pool == "kubernetes"]

    @property
    def workload_wait_seconds(self) -> float:
        """How long a pod that runs waits for its workload. Airflow takes the task back long before."""
        return max(3600.0, 2 * self.token_seconds)

    def attaches(self, cluster: str) -> bool:
        """Return whether agents hand workloads over to pods of a cluster, for which they need a right."""
        return self.pod_token == "stdin" or bool(self.warm_profiles(cluster))

    def require_redis(self) -> RedisLocation:
        """Return the address of Redis.

        :raises ConfigError: none is configured, or only the one that Airflow generates, whose host does not exist.
        """
        is_generated = self.redis is not None and self.redis.url == GENERATED_BROKER
        if self.redis is None or (is_generated and not has_address(GENERATED_BROKER)):
            because = (
                f" (the host of {GENERATED_BROKER}, which Airflow generates, does not exist)" if is_generated else ""
            )
            raise ConfigError(
                self.words(
                    f"No Redis is configured{because}. Set [hybrid_executor] redis_url "
                    "(AIRFLOW__HYBRID_EXECUTOR__REDIS_URL) to a Redis or Valkey, such as redis://localhost:6379/0; or "
                    "set [celery] broker_url to one; or run 'airflow hybrid standalone', which starts an embedded one."
                )
                + (f" What is set for all teams does not count for the team {self.team!r}." if self.team else "")
            )
        return self.redis

    def words(self, text: str) -> str:
        """Return a message with its options and commands as they are written for the team of these settings."""
        return in_words_of(self.team, text)


def has_address(url: str) -> bool:
    """Return whether a URL's host name can be resolved."""
    try:
        return bool(getaddrinfo(urlsplit(url).hostname, None))
    except gaierror:
        return False


def read_settings(conf: ConfigSource, *, shape: Shape = "hybrid") -> Settings:
    """Return the settings in ``conf``.

    :param shape: which executor class is used; it decides the routes if none are set.
    :raises ConfigError: a value is wrong; the message names section, option, value and what to write.
    """
    profiles = read_profiles(table.PROFILES_FILE.read(conf))
    total = _CORE_PARALLELISM.read(conf) or 2**31
    limits = (
        ("celery", table.CELERY_PARALLELISM),
        ("kubernetes", table.KUBERNETES_PARALLELISM),
        ("local", table.LOCAL_PARALLELISM),
    )
    return Settings(
        instance=read_instance(conf),
        routes=_read_routes(conf, profiles, shape),
        profiles=profiles,
        redis=read_redis(conf),
        broker=read_broker(conf),
        agent=table.AGENT.read(conf),
        parallelism={pool: option.read(conf) or total for pool, option in limits},
        pod_creation_rate=table.POD_CREATION_RATE.read(conf),
        starting_pods=table.STARTING_PODS.read(conf),
        launch_patience_seconds=table.LAUNCH_PATIENCE.read(conf),
        record_retention_seconds=read_record_retention(conf),
        repair_interval_seconds=table.REPAIR_INTERVAL.read(conf),
        worker_lost_after_seconds=table.WORKER_LOST_AFTER.read(conf),
        agent_lease_seconds=table.AGENT_LEASE.read(conf),
        relist_interval_seconds=table.RELIST_INTERVAL.read(conf),
        event_retention_seconds=table.EVENT_RETENTION.read(conf),
        event_wait_seconds=_read_event_wait(conf),
        token_seconds=_TOKEN_LIFE.read(conf),
        shares=parse_shares(table.FAIR_SHARE.read(conf)),
        coordinator_pods=read_coordinator_pods(conf),
        team=conf.team,
        share=read_share(conf),
        pod_token=table.POD_TOKEN.read(conf),
    )


def _read_event_wait(conf: ConfigSource) -> float:
    """Return how long a loop may wait for events, in seconds: what the scheduler's own sleep leaves of it.

    0 where Airflow has several executors: each would hold up the others.
    """
    executors = _EXECUTORS.read(conf)
    if "," in executors or ";" in executors:
        return 0.0
    return max(0.0, float(table.EVENT_WAIT.read(conf)) - float(_IDLE_SLEEP.read(conf)))


def read_record_retention(conf: ConfigSource) -> int:
    """Return how long records of ended attempts are kept, in seconds: longer than a message may be delivered again.

    :raises ConfigError: a value is wrong.
    """
    wanted: int = table.RECORD_RETENTION.read(conf)
    visibility_timeout = read_broker(conf).transport_options.get("visibility_timeout", 0)
    if not isinstance(visibility_timeout, int | float) or not visibility_timeout:
        return wanted
    if wanted >= visibility_timeout:
        return wanted
    kept = int(visibility_timeout) + _WAITS_AFTER_REDELIVERY_SECONDS
    log.warning(
        "[hybrid_executor] record_retention = %s is shorter than [celery_broker_transport_options] "
        "visibility_timeout = %s, so a message that is delivered again could run twice. Records are kept for "
        "%s s instead; set record_retention to at least %s",
        wanted,
        visibility_timeout,
        kept,
        visibility_timeout,
    )
    return kept


def _read_routes(conf: ConfigSource, profiles: Mapping[str, Profile], shape: Shape) -> Routes:
    if shape == "kubernetes":
        return parse_routes("*=kubernetes", profiles=profiles)
    text = table.ROUTES.read(conf)
    if text:
        routes = parse_routes(text, profiles=profiles)
        _check_pools(routes, shape)
        return routes
    if shape == "local_kubernetes":
        queue, rest = table.LOCAL_KUBERNETES_QUEUE, "local"
    else:
        queue, rest = table.CELERY_KUBERNETES_QUEUE, "celery"
    return parse_routes(
        f"{queue.read(conf)}=kubernetes, *={rest}", profiles=profiles, option=f"[{queue.section}] {queue.name}"
    )


def _check_pools(routes: Routes, shape: Shape) -> None:
    if shape == "local_kubernetes" and "celery" in routes.pools:
        raise ConfigError(
            "[hybrid_executor] routes has the pool celery, but LocalKubernetesExecutor has no Celery pool: write "
            "'local' instead, or set [core] executor = hybrid_executor.HybridExecutor."
        )


def read_redis(conf: ConfigSource) -> RedisLocation | None:
    """Return the address of the store: ``redis_url``, else the Celery broker if that is a Redis, else ``None``.

    :raises ConfigError: a value is wrong.
    """
    url = table.REDIS_URL.read(conf)
    options = table.REDIS_OPTIONS.read(conf)
    if url:
        parse_redis_url(url, options, option=f"[{table.SECTION}] {table.REDIS_URL.name}")
        return RedisLocation(url, options)
    broker = read_broker(conf)
    if not broker.is_redis:
        return None
    url, broker_options = redis_client_arguments(broker)
    return RedisLocation(url, {**broker_options, **options})
