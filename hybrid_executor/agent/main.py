"""An agent from start to end: it starts its parts, tells them to stop, and gives them time to finish.

Promises: a wrong configuration ends the agent at once, and the error says what to write. The agent waits for a Redis
that is unavailable. A cluster that is down does not affect the others. At its end the agent releases its leases.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from hybrid_executor.agent.cluster_agent import ClusterAgent, Surroundings
from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.duty import Duty
from hybrid_executor.agent.launch.mutation_hook import Hook
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.leases import LeaseKeeper
from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.process import default_name, start_supervised
from hybrid_executor.agent.pulse import Pulse
from hybrid_executor.agent.reaper import Reaper
from hybrid_executor.backoff import RECONNECT
from hybrid_executor.complaints import REDIS, REDIS_BACK, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.config import Profile, Settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError, HybridError, StoreForbidden, StoreRefused, StoreUnavailable
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.store import open_configured_store

log = logging.getLogger(__name__)

PRESENCE_SECONDS = 15.0
_ANNOUNCE_EVERY_SECONDS = 5.0
_CHECK_EVERY_SECONDS = 2.0
_ORDERS_EVERY_SECONDS = 1.0
_TICK_SECONDS = 0.5
_FINISH_SECONDS = 10.0


def run_agent(
    *,
    settings: Settings,
    kubernetes_settings: KubernetesSettings,
    name: str | None = None,
    hook: Hook | None = None,
    identity: Mapping[str, str] | None = None,
    stop: threading.Event,
    has_lost_parent: Callable[[], bool] = lambda: False,
    metrics: Metrics = SILENT,
) -> int:
    """Run an agent until ``stop`` is set or its parent is gone; return the process's exit code.

    :param name: unique among all agents; made up where it is missing.
    :param identity: announced with what it does; see :mod:`hybrid_executor.config.identity`.
    :raises ConfigError: the configuration cannot be used.
    """
    agent = Agent(
        settings=settings,
        kubernetes_settings=kubernetes_settings,
        name=name or default_name(),
        hook=hook,
        identity=identity,
        metrics=metrics,
    )
    return agent.run(stop, has_lost_parent=has_lost_parent)


class Agent:
    """One agent and its parts."""

    def __init__(
        self,
        *,
        settings: Settings,
        kubernetes_settings: KubernetesSettings,
        name: str,
        hook: Hook | None,
        identity: Mapping[str, str] | None = None,
        metrics: Metrics = SILENT,
    ) -> None:
        self.name = name
        self._identity = dict(identity or {})
        self._metrics = metrics
        self._settings = settings
        self._kubernetes_settings = kubernetes_settings
        self._complaints = Complaints(on_report=self._count_complaint)
        self._keeper = LeaseKeeper(self._complaints)
        settings.require_redis()
        self._store = open_configured_store(settings, connect_seconds=3, answer_seconds=10)
        self._data_loss = DataLoss(self._store.events)
        self._ownership = Ownership(
            self._store.identity,
            attempts=self._store.attempts,
            complaints=self._complaints,
            instance=settings.instance,
        )
        self._around = Surroundings(
            name=name,
            settings=settings,
            kubernetes_settings=kubernetes_settings,
            store=self._store,
            keeper=self._keeper,
            complaints=self._complaints,
            data_loss=self._data_loss,
            ownership=self._ownership,
            metrics=metrics,
        )
        self._clusters = self._make_clusters(hook)
        self._reaper: Reaper | None = None
        self._duty = Duty(self._store, name=name, keeper=self._keeper, clusters=self._clusters, repair=self._repair_now)
        self._announced_state = ""
        self._pulse = Pulse(name, threads=self._threads_that_turn)
        self._began_at = time.time()

    def run(self, stop: threading.Event, *, has_lost_parent: Callable[[], bool]) -> int:
        """Work until ``stop``, then finish what is under way.

        :raises ConfigError: Redis refuses the connection, or the configuration of every cluster is wrong.
        """
        try:
            self._check_clusters()
            if not _wait_for_redis(self._ask_redis, stop, self._complaints, has_lost_parent, self._pulse):
                return 0
            self._start(stop)
            self._maintain(stop, has_lost_parent)
            self._finish()
        finally:
            stop.set()
            for cluster in self._clusters:
                cluster.stop_watching()
            self._pulse.end()
            self._store.close()
        return 0

    def _make_clusters(self, hook: Hook | None) -> list[ClusterAgent]:
        settings, kubernetes_settings = self._settings, self._kubernetes_settings
        if not settings.clusters:
            raise ConfigError(
                "[hybrid_executor] routes has no route to kubernetes, so an agent has nothing to do: add a route, such "
                "as 'kubernetes=kubernetes', or run no agent."
            )
        factory = PodFactory(
            kubernetes_settings,
            instance=settings.instance,
            profiles=settings.profiles,
            hook=hook,
            airflow_version=_airflow_version(),
            coordinator_pods=settings.coordinator_pods,
            redis_id=lambda: self._ownership.id,
            pod_token=settings.pod_token,
            wait_seconds=settings.workload_wait_seconds,
        )
        told = ""
        try:
            factory.check_template()
        except ConfigError as error:
            told = str(error)
            log.error("Tasks that use the configured pod template fail until it is fixed: %s", error)
        for words in factory.findings():
            if words != told:
                log.warning("%s", words)
        return [
            ClusterAgent(
                cluster,
                around=self._around,
                connect=partial(_connect, kubernetes_settings, profile),
                factory=factory,
                namespaces=namespaces_to_watch(cluster, settings, kubernetes_settings),
            )
            for cluster, profile in settings.clusters.items()
        ]

    def _check_clusters(self) -> None:
        """Raise if every cluster's configuration is wrong; otherwise a wrong one is tried again later."""
        errors = []
        for cluster in self._clusters:
            try:
                cluster.open()
            except ConfigError as error:
                errors.append(error)
        if len(errors) == len(self._clusters):
            raise errors[0]

    def _ask_redis(self) -> None:
        """Find out whether Redis can be used, and what has to be known of it before anything begins. May be repeated.

        :raises StoreUnavailable: Redis could not be asked.
        :raises StoreForbidden: Redis refuses the user or password, or a permission is missing.
        """
        self._store.ping()
        self._store.check_permissions()
        self._store.check_writes()
        self._data_loss.check()
        self._ownership.check()

    def _start(self, stop: threading.Event) -> None:
        lease = self._around.lease("reaper")
        self._keeper.add(lease)
        self._reaper = reaper = Reaper(
            store=self._store,
            agent=self.name,
            lease=lease,
            complaints=self._complaints,
            event_seconds=self._settings.event_retention_seconds,
            clusters=[cluster.cluster for cluster in self._clusters],
            on_pod_place=self._watch_place,
        )
        start_supervised("leases", lambda: self._keeper.run(stop), stop)
        start_supervised("reaper", lambda: reaper.run(stop), stop)
        for cluster in self._clusters:
            cluster.start(stop)
        log.info("Agent %s works in %s", self.name, ", ".join(cluster.cluster for cluster in self._clusters))

    def _repair_now(self) -> None:
        for cluster in self._clusters:
            cluster.relist_soon()
        if self._reaper is not None:
            self._reaper.repair_soon()

    def _threads_that_turn(self) -> dict[str, float]:
        launchers = {f"launches pods in cluster {c.cluster}": c.turned_at for c in self._clusters}
        return {**launchers, "renews leases": self._keeper.turned_at}

    def _watch_place(self, cluster_name: str, namespace: str) -> None:
        for cluster in self._clusters:
            if cluster.cluster == cluster_name:
                cluster.watch_namespace(namespace)

    def _maintain(self, stop: threading.Event, has_lost_parent: Callable[[], bool]) -> None:
        next_announcement = next_check = next_orders = 0.0
        while not stop.wait(_TICK_SECONDS):
            self._pulse.beat()
            if has_lost_parent():
                log.info("The parent process is gone: agent %s ends", self.name)
                stop.set()
                return
            now = time.monotonic()
            try:
                if now >= next_orders:
                    next_orders = now + _ORDERS_EVERY_SECONDS
                    if self._duty.come_round() or self._duty.state != self._announced_state:
                        next_announcement = 0.0
                if now >= next_announcement:
                    next_announcement = now + _ANNOUNCE_EVERY_SECONDS
                    self._metrics.flush()
                    self._announce()
                if now >= next_check:
                    next_check = now + _CHECK_EVERY_SECONDS
                    for cluster in self._clusters:
                        cluster.retire_watchers(now=now)
                    was_lost = self._data_loss.check()
                    self._ownership.check()
                    if was_lost:
                        for cluster in self._clusters:
                            cluster.relist_soon()
                self._pulse.trouble = ""
                self._complaints.settle("announce", "Agent %s could announce itself again", self.name)
            except HybridError as error:
                self._pulse.trouble = str(error)
                self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
            except Exception as error:  # noqa: BLE001 - an agent that falls silent is taken for dead
                words = "Agent %s could not announce itself and tries again"
                self._complaints.unexpected("announce", words, self.name, error=error)

    def _announce(self) -> None:
        self._announced_state = self._duty.state
        self._store.presence.announce(
            "agent",
            self.name,
            {
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
                "life": self._duty.life,
                "state": self._announced_state,
                "began_at": str(int(self._began_at * 1000)),
                "clusters": ",".join(cluster.cluster for cluster in self._clusters),
                "leases": ",".join(self._keeper.held),
                "watches": ",".join(name for cluster in self._clusters for name in cluster.watches),
                "refusals": json.dumps([item for cluster in self._clusters for item in cluster.refusals]),
                "in_flight": json.dumps({cluster.cluster: cluster.in_flight for cluster in self._clusters}),
                "clashes": json.dumps(self._ownership.clashes),
                "waiting": json.dumps({cluster.cluster: cluster.waiting for cluster in self._clusters}),
                "warm": json.dumps({cluster.cluster: cluster.warm for cluster in self._clusters if cluster.warm}),
                "launched": json.dumps({cluster.cluster: cluster.launched for cluster in self._clusters}),
                **self._identity,
            },
            seconds=PRESENCE_SECONDS,
        )
        self._complaints.settle(REDIS, REDIS_BACK)

    def _count_complaint(self, subject: str, args: tuple[object, ...]) -> None:
        if subject == REDIS:
            code = next((str(arg.code) for arg in args if isinstance(arg, StoreRefused)), "unreachable")
            self._metrics.count(metric.REDIS_ERRORS, role="agent", code=code)

    def _finish(self) -> None:
        log.info("Agent %s finishes what is under way", self.name)
        for cluster in self._clusters:
            cluster.finish(seconds=_FINISH_SECONDS)
        try:
            self._keeper.release_all()
            self._store.presence.withdraw("agent", self.name, life=self._duty.life)
        except HybridError as error:
            log.warning("Agent %s could not release its leases, they will expire: %s", self.name, error)
        self._metrics.flush()
        log.info("Agent %s ended", self.name)


def _connect(kubernetes_settings: KubernetesSettings, profile: Profile) -> KubeClient:
    return connect(
        kubernetes_settings,
        context=profile.cluster_context,
        config_file=profile.config_file,
        in_cluster=profile.in_cluster,
    )


def _wait_for_redis(
    ask: Callable[[], None],
    stop: threading.Event,
    complaints: Complaints,
    has_lost_parent: Callable[[], bool],
    pulse: Pulse,
) -> bool:
    """Wait until Redis answers and takes writes; return False if the agent has to end before that.

    :param ask: raises StoreUnavailable if it does not.
    :raises StoreForbidden: Redis refuses the user or password, or a permission is missing.
    """
    failures = 0
    while not stop.is_set() and not has_lost_parent():
        try:
            ask()
        except StoreForbidden:
            raise
        except StoreUnavailable as error:
            failures += 1
            pulse.trouble = str(error)
            pulse.beat()
            complaints.report(REDIS, REDIS_UNAVAILABLE, error)
            stop.wait(RECONNECT.seconds(failures, jitter=random.random()))
        else:
            complaints.settle(REDIS, REDIS_BACK)
            return True
    return False


def _airflow_version() -> str:
    for distribution in ("apache-airflow-core", "apache-airflow"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""
