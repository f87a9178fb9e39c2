"""What an executor opens when it starts: its pools, and the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from uuid import uuid4

from airflow.executors.local_executor import LocalExecutor

from hybrid_executor.config import Settings, airflow_config
from hybrid_executor.config.apart import check_apart
from hybrid_executor.config.teams import our_teams
from hybrid_executor.errors import ConfigError
from hybrid_executor.events import OwnerId
from hybrid_executor.executor.context import Context
from hybrid_executor.operations.queues import advice_for, named_queues, queues_without_worker
from hybrid_executor.pools.celery_broker import check_broker
from hybrid_executor.pools.local import LocalPool
from hybrid_executor.pools.pool import UnrecordedPool
from hybrid_executor.store import Store, open_configured_store

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_LEAST_CONNECT_SECONDS = 0.25
_LEAST_ANSWER_SECONDS = 0.5


def check_executors(team: str) -> None:
    """Make sure that the executors of this project in this Airflow share nothing. The first of them checks all.

    :raises ConfigError: two of them use the same names or queues.
    """
    if (our_teams(airflow_config()) or [team])[0] == team:
        check_apart(airflow_config)


def make_local_pools(
    settings: Settings, *, is_local: bool, slots: Mapping[str, int], job_id: int | str | None
) -> dict[str, UnrecordedPool]:
    """Return the pools beside the scheduler that some queue is routed to. No process is started yet.

    :param is_local: the executor may run workloads beside the scheduler.
    :param slots: how many workloads each pool may run at once.
    :raises ConfigError: it may not, and a queue is routed to the local pool.
    """
    if "local" not in settings.routes.pools:
        return {}
    if not is_local:
        raise ConfigError(
            "[hybrid_executor] routes sends queues to local, which only LocalKubernetesExecutor has: set [core] "
            "executor = hybrid_executor.LocalKubernetesExecutor, or write 'celery' in its place."
        )
    of_team = {"team_name": settings.team} if settings.team else {}
    executor = LocalExecutor(parallelism=slots["local"], **of_team)  # type: ignore[no-untyped-call]
    executor.job_id = job_id
    return {"local": LocalPool(executor)}


def open_executors_store(settings: Settings) -> Store:
    """Return the store with the time limits of a scheduler's loop. No connection is made yet.

    Executors of several teams share the loop, so each gets its part of the time: a loop of 30 s would make other
    schedulers take over the tasks of this one.

    :raises ConfigError: there is no Redis to use.
    """
    settings.require_redis()
    executors = max(1, len(our_teams(airflow_config())))
    return open_configured_store(
        settings,
        connect_seconds=max(_LEAST_CONNECT_SECONDS, _CONNECT_SECONDS / executors),
        answer_seconds=max(_LEAST_ANSWER_SECONDS, _ANSWER_SECONDS / executors),
    )


def make_owner(job_id: int | str | None) -> OwnerId:
    """Return the id under which a scheduler job answers for attempts; a new one where there is no job."""
    return OwnerId(str(job_id) if job_id is not None else f"none-{uuid4()}")


def check_deployment(context: Context) -> None:
    """Check what this executor may do in Redis, and that the Celery broker can be used; name queues without a worker.

    :raises ConfigError: a permission is missing, or the broker cannot be used.
    :raises StoreUnavailable: Redis could not be asked.
    """
    context.store.check_permissions(_default_lists(context))
    if "celery" in context.pools:
        check_broker(context.settings)
        for queue in queues_without_worker(
            context.store, named_queues(context.settings, default_queue=context.default_queue)
        ):
            log.warning("%s", context.settings.words(advice_for(queue)))


def _default_lists(context: Context) -> list[str]:
    """Return the broker list on the store's Redis that most work goes to, empty where there is none."""
    pool = context.pools.get(context.settings.routes.find(context.default_queue).pool)
    key = pool.list_key(context.default_queue) if pool is not None else ""
    return [key] if key else []
