"""The configuration of the simulated deployment."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from hybrid_executor.config import Profile, Settings, airflow_config, read_settings
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.config.warm import WarmPods
from hybrid_executor.fairness import parse_shares
from hybrid_executor.routing import parse_routes
from tests.simulation.names import WARM_PROFILE

if TYPE_CHECKING:
    from tests.simulation.plan import Plan

_MOST_WARM = 3

ROUTES = """
    overflow   = celery(max=1, wait=4s) > kubernetes
    spot       = kubernetes(wait=3s, tries=2) > celery(max=2)
    quick      = kubernetes:quick
    kubernetes = kubernetes
    *          = celery
"""


def settings_of(plan: Plan) -> Settings:
    """Return the settings of a plan."""
    warm = None
    if plan.warm:
        warm = WarmPods(idle=plan.warm, most=_MOST_WARM, idle_seconds=10.0, lifetime_seconds=plan.warm_seconds)
    return replace(
        _settings(),
        profiles={WARM_PROFILE: Profile(name=WARM_PROFILE, warm=warm)},
        starting_pods=plan.starting_pods,
        pod_creation_rate=plan.pods_per_second,
        pod_token=plan.pod_token,
        shares=parse_shares(plan.shares),
    )


@cache
def _settings() -> Settings:
    """Return what all histories have in common."""
    return replace(read_settings(airflow_config()), routes=parse_routes(ROUTES, profiles=(WARM_PROFILE,)))


@cache
def kubernetes_settings() -> KubernetesSettings:
    """Return the settings of all agents."""
    return read_kubernetes_settings(airflow_config())
