"""Puts the warm parts of one cluster's agent together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.inventory import see
from hybrid_executor.agent.warm.keeper import WarmKeeper
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.agent.warm.making import WaitingPodMaker
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient

if TYPE_CHECKING:
    from hybrid_executor.agent.cluster_agent import Surroundings
    from hybrid_executor.agent.removal import PodRemover

log = logging.getLogger(__name__)


def end_forgotten(
    around: Surroundings, pod: Mapping[str, Any], *, cluster: str, client: KubeClient, remover: PodRemover
) -> None:
    """Delete a pod that waits for an attempt of a profile that has no warm pods any more."""
    seen = see(pod)
    is_kept = seen.profile in around.settings.warm_profiles(cluster)
    if is_kept or seen.is_terminating or not around.ownership.is_own(seen.redis_id):
        return

    def delete() -> None:
        try:
            if client.delete_pod(seen.namespace, seen.name, uid=seen.uid, version=seen.version):
                log.info("Deleted waiting pod %s: profile %r has no warm pods any more", seen.path, seen.profile)
        except KubeError as error:
            log.warning("Waiting pod %s could not be deleted; the next list tries again: %s", seen.path, error)

    remover.run_soon(delete)


def make_launches(around: Surroundings, *, cluster: str, client: KubeClient, factory: PodFactory) -> WarmLaunches:
    """Return what the launcher needs; it asks nothing of Redis where no profile has warm pods."""
    return WarmLaunches(
        cluster=cluster,
        instance=around.settings.instance,
        client=client,
        store=around.store,
        factory=factory,
        complaints=around.complaints,
        is_on=bool(around.settings.warm_profiles(cluster)),
        distrusts_records=lambda: around.data_loss.is_suspected,
        metrics=around.metrics,
        patience_seconds=around.settings.launch_patience_seconds,
    )


def make_keeper(
    around: Surroundings, *, cluster: str, client: KubeClient, factory: PodFactory, on_freed: Callable[[str], None]
) -> WarmKeeper | None:
    """Return the keeper of a cluster's warm pods, ``None`` where no profile has any."""
    settings = around.settings
    profiles = settings.warm_profiles(cluster)
    if not profiles:
        return None
    maker = WaitingPodMaker(
        client,
        around.store,
        cluster=cluster,
        pods_per_second=settings.pod_creation_rate,
        most_starting=settings.starting_pods,
    )
    return WarmKeeper(
        cluster=cluster,
        instance=settings.instance,
        client=client,
        store=around.store,
        factory=factory,
        profiles=profiles,
        maker=maker,
        lease=around.lease(f"warm:{cluster}"),
        ownership=around.ownership,
        complaints=around.complaints,
        on_freed=on_freed,
        metrics=around.metrics,
    )
