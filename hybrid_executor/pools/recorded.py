"""The pools with records of a deployment."""

from __future__ import annotations

from hybrid_executor import compat
from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.pools.pool import RecordedPool


def make_recorded_pools(conf: ConfigSource, settings: Settings) -> dict[str, RecordedPool]:
    """Return the pools with records that some queue is routed to. No connection is made yet.

    :raises ConfigError: a setting of ``[celery]`` is wrong.
    """
    pools: dict[str, RecordedPool] = {}
    if "celery" in settings.routes.pools:
        from hybrid_executor.pools.celery import make_celery_pool

        pools["celery"] = make_celery_pool(conf, settings)
    if "kubernetes" in settings.routes.pools:
        pools["kubernetes"] = KubernetesPool(kinds=compat.kinds_in_pods())
    return pools
