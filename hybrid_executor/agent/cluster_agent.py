"""One cluster's part of an agent, independent of other clusters: one launcher, and one watcher for each namespace."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.agent.launch.launcher import AirflowKubernetesScheduler
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.leases import KeptLease, LeaseKeeper
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.process import start_supervised
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.warm.assembly import end_forgotten, make_keeper, make_launches
from hybrid_executor.agent.warm.keeper import WarmKeeper
from hybrid_executor.agent.warm.launches import WarmLaunches
from hybrid_executor.agent.watch.events import PodStream
from hybrid_executor.agent.watch.log_tails import LogTails
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.agent.watch.relist import Relist
from hybrid_executor.agent.watch.watcher import KubernetesJobWatcher
from hybrid_executor.backoff import DENIED
from hybrid_executor.complaints import Complaints
from hybrid_executor.config import Settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import instance_selector
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.store import Store

log = logging.getLogger(__name__)

_LOG_THREADS = 4
_IDLE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all parts of one agent share."""

    name: str
    settings: Settings
    kubernetes_settings: KubernetesSettings
    store: Store
    keeper: LeaseKeeper
    complaints: Complaints
    data_loss: DataLoss
    ownership: Ownership
    metrics: Metrics = SILENT

    def lease(self, name: str) -> KeptLease:
        """Return a lease that this agent may take; its loss is counted."""
        return KeptLease(
            self.store.leases,
            name,
            holder=self.name,
            seconds=self.settings.agent_lease_seconds,
            on_loss=lambda lost: self.metrics.count(metric.LEASES_LOST, lease=lost),
        )


@dataclass
class _Watching:
    """One watcher, what ends it, and when a pod was last known in its namespace (monotonic seconds)."""

    watcher: KubernetesJobWatcher
    lease: KeptLease
    needed_at: float
    stop: threading.Event = field(default_factory=threading.Event)


class ClusterAgent:
    """One cluster's part of an agent.

    :param connect: returns a client of the cluster; asked again later where it raises ConfigError.
    :param namespaces: those to watch from the start; ``None`` is all.
    """

    def __init__(
        self,
        cluster: str,
        *,
        around: Surroundings,
        connect: Callable[[], KubeClient],
        factory: PodFactory,
        namespaces: Sequence[str | None],
    ) -> None:
        self.cluster = cluster
        self.launcher: AirflowKubernetesScheduler | None = None
        self._warm: WarmLaunches | None = None
        self._warm_keeper: WarmKeeper | None = None
        self._around = around
        self._connect = connect
        self._factory = factory
        self._namespaces = tuple(namespaces)
        self._lock = threading.Lock()
        self._watchers: dict[str | None, _Watching] = {}
        self._threads: list[threading.Thread] = []
        self._is_ending = False
        self._is_paused = False
        self._client: KubeClient | None = None
        self._remover: PodRemover | None = None
        self._log_pool: DelayedPool | None = None

    @property
    def in_flight(self) -> int:
        """Launches and deletions without an outcome."""
        return self.launcher.in_flight if self.launcher else 0

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """How many pods could not be created yet, by namespace and cause."""
        return self.launcher.waiting() if self.launcher else {}

    @property
    def launched(self) -> int:
        """Pods created so far."""
        return self.launcher.launched if self.launcher else 0

    @property
    def turned_at(self) -> float:
        """When the launcher's thread last came round, in seconds since the epoch; 0 before it started."""
        return self.launcher.turned_at if self.launcher else 0.0

    def pause(self) -> None:
        """Take no new launches, and give back those that wait."""
        self._set_paused(True)

    def resume(self) -> None:
        """Take launches again."""
        self._set_paused(False)

    def _set_paused(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        for part in (self.launcher, self._warm_keeper):
            if part is not None:
                part.is_paused = is_paused

    @property
    def warm(self) -> dict[str, dict[str, Any]]:
        """This agent's hits and misses by profile; while it keeps warm pods, also what it has seen of them."""
        tally = self._warm.tally.seen() if self._warm else {}
        seen = self._warm_keeper.seen if self._warm_keeper else {}
        return {name: {**tally.get(name, {}), **seen.get(name, {})} for name in sorted({*tally, *seen})}

    @property
    def refusals(self) -> list[dict[str, str | int | float]]:
        """What the cluster refuses now, so that launches wait."""
        return [{"cluster": self.cluster, **item} for item in (self.launcher.refusals if self.launcher else ())]

    @property
    def watches(self) -> list[str]:
        """The leases of the places that this agent watches, or would if no other agent did."""
        with self._lock:
            return [watching.lease.name for watching in self._watchers.values()]

    def open(self) -> None:
        """Connect to the cluster; nothing is sent yet.

        :raises ConfigError: the cluster's configuration cannot be loaded.
        """
        if self._client is None:
            client = self._connect()
            client.transport.on_answer = self._count_answer
            self._client = client

    def _count_answer(self, verb: str, status: int) -> None:
        code = str(status) if status else "none"
        self._around.metrics.count(metric.KUBE_REQUESTS, cluster=self.cluster, verb=verb, code=code)

    def start(self, stop: threading.Event) -> None:
        """Launch and watch until ``stop``. Where the cluster's configuration cannot be loaded yet, try again later."""
        self._threads.append(start_supervised(f"cluster-{self.cluster}", lambda: self._run(stop), stop))

    def relist_soon(self) -> None:
        """Make all watchers list their pods again now."""
        with self._lock:
            watchings = list(self._watchers.values())
        for watching in watchings:
            watching.watcher.relist_soon()

    def watch_namespace(self, namespace: str) -> None:
        """Watch a namespace that has a pod, if it is not watched yet; see :meth:`retire_watchers`."""
        with self._lock:
            if None in self._namespaces or namespace in self._namespaces or self._is_ending:
                return
            watching = self._watchers.get(namespace)
            if watching is not None:
                watching.needed_at = time.monotonic()
                return
        log.info("Pods are in namespace %s of cluster %s: watching it too", namespace, self.cluster)
        self._start_watcher(namespace)

    def retire_watchers(self, *, now: float) -> None:
        """Stop watching namespaces without pods for ten minutes, except those of the configuration.

        :param now: monotonic seconds.
        :raises StoreUnavailable: a lease could not be released; it expires by itself.
        """
        with self._lock:
            idle = [
                name
                for name, watching in self._watchers.items()
                if name not in self._namespaces and now - watching.needed_at >= _IDLE_SECONDS
            ]
            retired = [self._watchers.pop(name) for name in idle]
        for name, watching in zip(idle, retired, strict=True):
            log.info(
                "Namespace %s of cluster %s has had no pods for ten minutes: it is not watched any more",
                name,
                self.cluster,
            )
            watching.stop.set()
            self._around.keeper.remove(watching.lease)
        self._threads = [thread for thread in self._threads if thread.is_alive()]

    def stop_watching(self) -> None:
        """Stop all watchers and start no more."""
        with self._lock:
            self._is_ending = True
            watchings = list(self._watchers.values())
        for watching in watchings:
            watching.stop.set()

    def finish(self, *, seconds: float) -> None:
        """Finish what is under way, for at most ``seconds``."""
        self.stop_watching()
        if self.launcher is not None:
            self.launcher.finish(seconds=seconds)
        if self._remover is not None:
            self._remover.close(seconds=seconds / 5)
        if self._log_pool is not None:
            self._log_pool.close(seconds=seconds / 2)
        for thread in list(self._threads):
            thread.join(2)
        if self._client is not None:
            self._client.close()

    def _run(self, stop: threading.Event) -> None:
        failures = 0
        while self._client is None and not stop.is_set():
            try:
                self.open()
            except ConfigError as error:
                failures += 1
                self._around.complaints.report(f"config:{self.cluster}", "Cluster %s: %s", self.cluster, error)
                stop.wait(DENIED.seconds(failures, jitter=random.random()))
        if self._client is None:
            return
        if self.launcher is None:
            self._remover = PodRemover(self._client, cluster=self.cluster, complaints=self._around.complaints)
            self._log_pool = DelayedPool(f"logs-{self.cluster}", threads=_LOG_THREADS)
            self._warm = make_launches(self._around, cluster=self.cluster, client=self._client, factory=self._factory)
            self.launcher = self._make_launcher(self._client, self._remover, self._warm)
            self._start_warm_keeper(self._client, stop)
            self._set_paused(self._is_paused)
            for namespace in self._namespaces:
                self._start_watcher(namespace)
        self.launcher.run(stop)

    def _make_launcher(self, client: KubeClient, remover: PodRemover, warm: WarmLaunches) -> AirflowKubernetesScheduler:
        around = self._around
        return AirflowKubernetesScheduler(
            cluster=self.cluster,
            agent=around.name,
            instance=around.settings.instance,
            client=client,
            store=around.store,
            factory=self._factory,
            settings=around.kubernetes_settings,
            remover=remover,
            complaints=around.complaints,
            pods_per_second=around.settings.pod_creation_rate,
            most_starting=around.settings.starting_pods,
            patience_seconds=around.settings.launch_patience_seconds,
            token_seconds=around.settings.token_seconds,
            take_over_seconds=around.settings.agent_lease_seconds * 1.5,
            on_namespace=self.watch_namespace,
            data_loss=around.data_loss,
            metrics=around.metrics,
            warm=warm,
            shares=around.settings.shares,
        )

    def _start_warm_keeper(self, client: KubeClient, stop: threading.Event) -> None:
        keeper = make_keeper(
            self._around, cluster=self.cluster, client=client, factory=self._factory, on_freed=self._pod_ended
        )
        if keeper is not None:
            self._warm_keeper = keeper
            self._around.keeper.add(keeper.lease)
            self._threads.append(start_supervised(f"warm-{self.cluster}", lambda: keeper.run(stop), stop))

    def _pod_ended(self, namespace: str, freed: Collection[str] | None = None) -> None:
        if self.launcher is not None:
            self.launcher.pod_ended(namespace, freed)

    def _give_way(self, namespace: str) -> None:
        if self._warm is not None:
            self._warm.give_way(namespace)

    def _start_watcher(self, namespace: str | None) -> None:
        lease = self._around.lease(f"watch:{self.cluster}:{namespace or ''}")
        watching = _Watching(self._make_watcher(namespace, lease), lease, needed_at=time.monotonic())
        with self._lock:
            if namespace in self._watchers or self._is_ending:
                return
            self._watchers[namespace] = watching
        self._around.keeper.add(lease)
        name = f"watcher-{self.cluster}-{namespace or 'all'}"
        self._threads.append(start_supervised(name, lambda: watching.watcher.run(watching.stop), watching.stop))

    def _make_watcher(self, namespace: str | None, lease: KeptLease) -> KubernetesJobWatcher:
        around, client, remover, log_pool = self._around, self._client, self._remover, self._log_pool
        assert client is not None
        assert remover is not None
        assert log_pool is not None
        attempts, settings = around.store.attempts, around.kubernetes_settings
        recorder = PodRecorder(
            attempts,
            settings=settings,
            remover=remover,
            log_tails=LogTails(client, log_pool),
            starts=around.store.starts,
            hand_overs=around.store.hand_overs,
            cluster=self.cluster,
            on_end=self._pod_ended,
            on_shortage=self._give_way,
            metrics=around.metrics,
        )
        selector = instance_selector(around.settings.instance)
        return KubernetesJobWatcher(
            cluster=self.cluster,
            namespace=namespace,
            client=client,
            selector=selector,
            lease=lease,
            version=around.store.version(self.cluster, namespace or ""),
            relist=Relist(
                cluster=self.cluster,
                instance=around.settings.instance,
                namespace=namespace,
                client=client,
                selector=selector,
                attempts=attempts,
                recorder=recorder,
                remover=remover,
                settings=settings,
                data_loss=around.data_loss,
                ownership=around.ownership,
                on_waiting=partial(end_forgotten, around, cluster=self.cluster, client=client, remover=remover),
            ),
            stream=PodStream(
                client=client,
                attempts=attempts,
                recorder=recorder,
                remover=remover,
                settings=settings,
                ownership=around.ownership,
                patience_seconds=around.settings.launch_patience_seconds,
                place=f"namespace {namespace} of cluster {self.cluster}" if namespace else f"cluster {self.cluster}",
            ),
            complaints=around.complaints,
            relist_seconds=around.settings.relist_interval_seconds,
            metrics=around.metrics,
        )
