"""What a worker needs to know of its deployment, and the store as seen from one process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.config import ConfigSource, Option, RedisLocation, table
from hybrid_executor.config.celery import CelerySettings, build_celery_config, read_celery_settings
from hybrid_executor.config.identity import read_identity
from hybrid_executor.config.settings import read_record_retention, read_redis
from hybrid_executor.config.teams import read_instance
from hybrid_executor.errors import ConfigError
from hybrid_executor.fairness import Shares, parse_shares
from hybrid_executor.metrics import MetricsSettings, read_metrics_settings
from hybrid_executor.store import RedisSettings, Store, open_store

NO_REDIS = (
    "The worker knows no Redis that holds the shared state. Set [hybrid_executor] redis_url "
    "(AIRFLOW__HYBRID_EXECUTOR__REDIS_URL) to the one that the schedulers use; or set [celery] broker_url to a Redis."
)
_TASK_LOGS_TO_STDOUT = Option(
    section="logging",
    name="task_logs_to_stdout",
    type="bool",
    default="False",
    description="Task logs to the output of whatever runs them too.",
)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Settings that workers share with the schedulers. Routes and profiles are not among them.

    :ivar celery_config: the configuration of the Celery application.
    :ivar task_logs_to_stdout: the logs of tasks appear in the worker's output too.
    :ivar preload: modules to import before task processes are forked, besides our own list.
    :ivar shares: of the queues, where slots are scarce.
    :ivar identity: announced with what a worker does; see :mod:`hybrid_executor.config.identity`.
    :ivar shutdown_timeout_seconds: how long a worker that was told to stop waits for what it runs; 0 for no limit.
    :ivar parse_seconds: how long tasks may use one parse of their Dag file; 0 for a parse by each task.
    :ivar parsed_files: how many Dag files a worker keeps parsed.
    """

    instance: str
    redis: RedisLocation
    record_retention_seconds: int
    celery: CelerySettings
    celery_config: Mapping[str, Any] = field(repr=False)
    default_queue: str
    task_logs_to_stdout: bool = False
    preload: tuple[str, ...] = ()
    shutdown_timeout_seconds: float = 0.0
    parse_seconds: float = 0.0
    parsed_files: int = 8
    shares: Shares = Shares()
    identity: Mapping[str, str] = field(default_factory=dict)
    metrics: MetricsSettings = MetricsSettings()


def read_deployment(conf: ConfigSource) -> Deployment:
    """Return the deployment that ``conf`` describes.

    :raises ConfigError: a value is wrong, or no Redis is named.
    """
    redis = read_redis(conf)
    if redis is None:
        raise ConfigError(NO_REDIS)
    celery = read_celery_settings(conf)
    to_stdout = celery.task_logs_to_stdout
    return Deployment(
        instance=read_instance(conf),
        redis=redis,
        record_retention_seconds=read_record_retention(conf),
        celery=celery,
        celery_config=build_celery_config(celery, default_queue=celery.default_queue),
        default_queue=celery.default_queue,
        task_logs_to_stdout=_TASK_LOGS_TO_STDOUT.read(conf) if to_stdout is None else to_stdout,
        preload=table.WORKER_PRELOAD.read(conf),
        shutdown_timeout_seconds=table.WORKER_SHUTDOWN_TIMEOUT.read(conf),
        parse_seconds=table.WORKER_PARSE_SECONDS.read(conf),
        parsed_files=table.WORKER_PARSED_FILES.read(conf),
        shares=parse_shares(table.FAIR_SHARE.read(conf)),
        identity=read_identity(conf, instance=read_instance(conf)),
        metrics=read_metrics_settings(conf),
    )


class ProcessStore:
    """The store, with connections of each process's own: what is opened before a fork is not used after it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._store: Store | None = None
        self._pid = 0

    def __call__(self) -> Store:
        """Return this process's store; nothing is connected yet."""
        if self._store is None or self._pid != os.getpid():
            location = self._deployment.redis
            self._store = open_store(
                RedisSettings(url=location.url, options=location.options),
                instance=self._deployment.instance,
                retention_seconds=self._deployment.record_retention_seconds,
            )
            self._pid = os.getpid()
        return self._store
