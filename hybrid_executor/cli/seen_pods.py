"""The pods of this deployment as its clusters show them, for ``airflow hybrid reconcile``. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_executor.agent.identity import identify
from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.errors import ConfigError, KubeError
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.names import instance_selector
from hybrid_executor.operations.snapshot import PodList, SeenPod
from hybrid_executor.store import Store

_ENDED = frozenset({"Succeeded", "Failed"})


def read_pods(conf: ConfigSource, settings: Settings, store: Store) -> PodList:
    """Return our pods in all namespaces that agents watch; each place that does not answer is named with the reason.

    Pods that are marked as done are left out.

    :raises StoreUnavailable: Redis could not be asked which pods are ours.
    """
    if not settings.clusters:
        return PodList()
    kubernetes = read_kubernetes_settings(conf)
    own_ids = store.identity.read()
    pods: list[SeenPod] = []
    places: set[tuple[str, str | None]] = set()
    unasked: list[str] = []
    for cluster, profile in settings.clusters.items():
        try:
            client = connect(
                kubernetes,
                context=profile.cluster_context,
                config_file=profile.config_file,
                in_cluster=profile.in_cluster,
            )
        except ConfigError as error:
            unasked.append(f"Cluster {cluster} was not compared: {error}")
            continue
        try:
            for namespace in namespaces_to_watch(cluster, settings, kubernetes):
                try:
                    pods += _list(client, cluster, namespace, instance_selector(settings.instance), own_ids)
                    places.add((cluster, namespace))
                except KubeError as error:
                    place = f"namespace {namespace} of cluster {cluster}" if namespace else f"cluster {cluster}"
                    unasked.append(f"The pods of {place} were not compared: {error}")
        finally:
            client.close()
    return PodList(pods=pods, places=frozenset(places), unasked=unasked)


def _list(
    client: KubeClient, cluster: str, namespace: str | None, selector: str, own_ids: frozenset[str]
) -> list[SeenPod]:
    found = []
    for page in client.list_pod_pages(namespace, selector):
        found += [pod for item in page.items if (pod := _seen(item, cluster, own_ids)) is not None]
    return found


def _seen(pod: Mapping[str, Any], cluster: str, own_ids: frozenset[str]) -> SeenPod | None:
    """Return a pod, ``None`` for one of another deployment or one that no agent created."""
    identity = identify(pod)
    if identity is None or (identity.redis_id and own_ids and identity.redis_id not in own_ids):
        return None
    return SeenPod(
        cluster=cluster,
        namespace=identity.namespace,
        name=identity.name,
        attempt=identity.attempt,
        generation=identity.generation,
        has_ended=(pod.get("status") or {}).get("phase") in _ENDED,
        is_settled=bool((pod.get("metadata") or {}).get("deletionTimestamp")),
    )
