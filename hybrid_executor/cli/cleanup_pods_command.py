"""``airflow hybrid cleanup-pods``: deletes leftover task pods.

Redis is only asked which pods belong to this deployment. If it does not answer, all pods with this instance name do.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import Settings, process_config
from hybrid_executor.config.kubernetes import KubernetesSettings, read_kubernetes_settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.errors import ConfigError, KubeError, KubeGone, StoreUnavailable
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.leftovers import Age, why_left_over
from hybrid_executor.kube.names import LABEL_REDIS, instance_selector
from hybrid_executor.store import open_configured_store

FEWEST_PENDING_MINUTES = 5
"""Younger pods may still start."""

ANY_AIRFLOW = "dag_id,task_id,try_number,airflow_version"
"""Labels that every executor of Airflow gives to its pods."""


@dataclass
class Sweep:
    """One pass over the pods of a namespace.

    :ivar own_ids: ids of our Redis; empty if all pods count as ours.
    :ivar deleted: how many were deleted, or would have been. :ivar seen: how many were checked.
    :ivar foreign: how many belong to another deployment and were not touched.
    """

    client: KubeClient
    cluster: str
    namespace: str | None
    selector: str
    age: Age
    own_ids: frozenset[str] = frozenset()
    is_dry: bool = False
    is_verbose: bool = False
    deleted: int = 0
    foreign: int = 0
    seen: int = 0

    def run(self) -> None:
        """Delete leftover pods, page by page, until the cluster refuses something.

        Ages are measured with the API server's clock, since it wrote the times.

        :raises KubeError: pods cannot be listed or deleted.
        """
        try:
            self._run_once()
        except KubeGone:
            # The list expired while pods were deleted. Deleted pods are not on the next list.
            self.seen, self.foreign = self.deleted, 0
            self._run_once()

    def _run_once(self) -> None:
        for page in self.client.list_pod_pages(self.namespace, self.selector):
            now = self.client.server_time or datetime.now(timezone.utc)
            for pod in page.items:
                self.seen += 1
                self._look_at(pod, now)

    def _look_at(self, pod: Mapping[str, Any], now: datetime) -> None:
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        of_redis = (metadata.get("labels") or {}).get(LABEL_REDIS, "")
        if self.own_ids and of_redis and of_redis not in self.own_ids:
            self.foreign += 1
            return
        why = why_left_over(pod, self.age, now=now)
        if not why:
            if self.is_verbose:
                print(f"kept     {namespace}/{name}: {pod['status'].get('phase', 'unknown').lower()}")
            return
        if not self.is_dry:
            self.client.delete_pod(namespace, name, uid=metadata["uid"])
        self.deleted += 1
        print(f"{'delete  ' if self.is_dry else 'deleted '} {namespace}/{name}: {why}")


@plainly
def cleanup_pods(args: Namespace) -> int:
    """Clean up all namespaces. An error in one of them is printed, and the others are still cleaned up."""
    conf = process_config()
    settings = read_configured_settings(conf)
    kubernetes = read_kubernetes_settings(conf)
    if args.min_pending_minutes < FEWEST_PENDING_MINUTES:
        print(
            f"--min-pending-minutes must be at least {FEWEST_PENDING_MINUTES}; {FEWEST_PENDING_MINUTES} is used",
            file=sys.stderr,
        )
    age = Age(
        pending=timedelta(minutes=max(args.min_pending_minutes, FEWEST_PENDING_MINUTES)),
        completed=timedelta(minutes=args.min_completed_minutes),
    )
    selector = ANY_AIRFLOW if args.any_airflow else instance_selector(settings.instance, with_done=True)
    own_ids = frozenset[str]() if args.any_airflow else _ids_of_redis(settings)
    sweeps = []
    failures = 0
    for cluster, client, namespace in _places(settings, kubernetes, args.namespace):
        sweep = Sweep(
            client, cluster, namespace, selector, age, own_ids=own_ids, is_dry=args.dry_run, is_verbose=args.verbose
        )
        sweeps.append(sweep)
        try:
            sweep.run()
        except KubeError as error:
            failures += 1
            print(f"airflow hybrid: {_words(error, sweep)}", file=sys.stderr)
    count, seen = sum(sweep.deleted for sweep in sweeps), sum(sweep.seen for sweep in sweeps)
    print(f"{count} of {seen} pods {'would be deleted' if args.dry_run else 'deleted'}")
    if foreign := sum(sweep.foreign for sweep in sweeps):
        print(
            f"{foreign} pods belong to another deployment whose instance is also {settings.instance}; they are not "
            "touched. Its own agent deletes them; --any-airflow deletes them too."
        )
    return 1 if failures else 0


def _ids_of_redis(settings: Settings) -> frozenset[str]:
    """Return the ids in the labels of our pods; none if Redis does not answer or has lost them."""
    if settings.redis is None:
        return frozenset()
    store = open_configured_store(settings, connect_seconds=1.0, answer_seconds=3.0, retries=0)
    try:
        return store.identity.read()
    except StoreUnavailable as error:
        print(f"Redis is unavailable, so all pods with this instance name are cleaned up: {error}", file=sys.stderr)
        return frozenset()
    finally:
        store.close()


def _places(
    settings: Settings, kubernetes: KubernetesSettings, namespaces: Sequence[str] | None
) -> Iterator[tuple[str, KubeClient, str | None]]:
    """Yield cluster, client and namespace (None: all) of each place to clean up.

    :raises ConfigError: no route leads to a cluster, or the cluster's address is not configured.
    """
    if not settings.clusters:
        raise ConfigError(
            "There are no pods to clean up: no route in [hybrid_executor] routes leads to the pool kubernetes."
        )
    named = [name.strip() for text in namespaces or () for name in text.split(",") if name.strip()]
    for cluster, profile in settings.clusters.items():
        client = connect(
            kubernetes, context=profile.cluster_context, config_file=profile.config_file, in_cluster=profile.in_cluster
        )
        for namespace in named or namespaces_to_watch(cluster, settings, kubernetes):
            yield cluster, client, namespace
        client.close()


def _words(error: KubeError, sweep: Sweep) -> str:
    place = f"namespace {sweep.namespace}" if sweep.namespace else "all namespaces"
    if error.status == 403:
        return (
            f"Pods in {place} of cluster {sweep.cluster} cannot be cleaned up: this account needs the rights to list "
            f"and delete pods there. {error}"
        )
    return f"Pods in {place} of cluster {sweep.cluster} cannot be cleaned up now: {error}"
