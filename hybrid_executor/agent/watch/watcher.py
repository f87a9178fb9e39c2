"""The watcher of one namespace, or of all, in one cluster: list, reconcile, watch from the list's version.

Promises: it watches only while it holds the lease. What events miss, the next list finds. An event that comes twice or
late changes nothing. It never asks again for a version that is too old. There is a pause after every error.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from hybrid_executor.agent.leases import KeptLease
from hybrid_executor.agent.watch.events import PodStream, WatchEnd, WatchReader
from hybrid_executor.agent.watch.relist import Relist
from hybrid_executor.backoff import DENIED, RECONNECT, Backoff
from hybrid_executor.complaints import REDIS, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable, StoreUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.failures import UNAUTHORIZED
from hybrid_executor.kube.watch import DEFAULT_SILENCE_SECONDS, Event
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.store import ResourceVersion

log = logging.getLogger(__name__)

_MOST_EVENTS = 500
_TICK_SECONDS = 0.2
_SAVE_EVERY_SECONDS = 1.0
_FIRST_LIST_AFTER_SECONDS = 2.0
_HEALTHY_SECONDS = 5.0
_STEP_BACK_AFTER = 3
_TELL_AGE_SECONDS = 10.0


class KubernetesJobWatcher:
    """Watches the pods of this instance in one namespace.

    :param namespace: None for the whole cluster.
    :param lease: its holder watches; a LeaseKeeper renews it.
    :param version: where the version to resume from is stored.
    :param relist: lists pods and repairs records; :param stream: takes in events.
    :param silence_seconds: a watch without any event or bookmark for so long is broken.
    """

    def __init__(
        self,
        *,
        cluster: str,
        namespace: str | None,
        client: KubeClient,
        selector: str,
        lease: KeptLease,
        version: ResourceVersion,
        relist: Relist,
        stream: PodStream,
        complaints: Complaints,
        relist_seconds: float,
        silence_seconds: float = DEFAULT_SILENCE_SECONDS,
        denied: Backoff = DENIED,
        metrics: Metrics = SILENT,
    ) -> None:
        self._metrics = metrics
        self._cluster = cluster
        self._heard_at = self._next_age = 0.0
        self.place = f"namespace {namespace} of cluster {cluster}" if namespace else f"cluster {cluster}"
        self._namespace = namespace
        self._client = client
        self._selector = selector
        self._lease = lease
        self._stored_version = version
        self._relist = relist
        self._stream = stream
        self._complaints = complaints
        self._relist_seconds = relist_seconds
        self._silence_seconds = silence_seconds
        self._denied = denied
        self._relist_asked_for = threading.Event()
        self._version = ""
        self._saved_version = ""
        self._next_list = self._next_save = 0.0
        self._failures = 0

    def relist_soon(self) -> None:
        """List again now: an event may have been missed."""
        self._relist_asked_for.set()

    def run(self, stop: threading.Event) -> None:
        """Watch while the lease is held, until ``stop``."""
        while not stop.is_set():
            if not self._lease.wait_until_held(_TICK_SECONDS):
                continue
            self._begin()
            while self._lease.is_held and not stop.is_set():
                pause_seconds = self._run_safely(stop)
                stop.wait(pause_seconds)

    def _begin(self) -> None:
        """Begin to watch: resume where the last watcher was, and list soon after."""
        self._failures = 0
        self._stream.forget_all()
        self._version = self._saved_version = ""
        self._heard_at = time.monotonic()
        self._next_list = self._heard_at + min(_FIRST_LIST_AFTER_SECONDS, self._relist_seconds)

    def _run_safely(self, stop: threading.Event) -> float:
        """Run one watch; return the seconds to wait before the next."""
        began = time.monotonic()
        self._tell_age()
        try:
            was_ended_by_server = self._run(stop)
        except KubeGone as error:
            self._count_restart("gone")
            log.info("The watch of %s starts again with a list: %s", self.place, error)
            self._version = ""
            self._clear_stored_version()
            return self._pause(began)
        except KubeUnavailable as error:
            self._count_restart("cut")
            pause_seconds = max(self._pause(began), error.retry_after_seconds)
            if self._failures < _STEP_BACK_AFTER:
                log.info("The watch of %s was cut; it is resumed: %s", self.place, error)
            else:
                self._complaints.report(self.place, "Pods of %s cannot be watched now: %s", self.place, error)
            return pause_seconds
        except KubeError as error:
            self._count_restart("refused")
            return self._after_refusal(error)
        except StoreUnavailable as error:
            self._count_restart("redis")
            self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
            return self._pause(began)
        self._complaints.settle(self.place, "The watch of %s goes on", self.place)
        if was_ended_by_server:
            self._count_restart("ended")
        # A server that ends each watch at once must not cause a loop without a pause.
        is_hasty = was_ended_by_server and time.monotonic() - began < _HEALTHY_SECONDS
        return self._pause(began) if is_hasty else 0.0

    def _count_restart(self, cause: str) -> None:
        self._metrics.count(
            metric.WATCH_RESTARTS, cluster=self._cluster, kube_namespace=self._namespace or "all", cause=cause
        )

    def _tell_age(self) -> None:
        now = time.monotonic()
        if now >= self._next_age:
            self._next_age = now + _TELL_AGE_SECONDS
            age = round(now - self._heard_at, 1)
            self._metrics.gauge(metric.WATCH_AGE, age, cluster=self._cluster, kube_namespace=self._namespace or "all")

    def _pause(self, began: float) -> float:
        if time.monotonic() - began >= _HEALTHY_SECONDS:
            self._failures = 0
        self._failures += 1
        if self._failures >= _STEP_BACK_AFTER and self._failures % _STEP_BACK_AFTER == 0:
            self._step_back()
        return RECONNECT.seconds(self._failures, jitter=random.random())

    def _after_refusal(self, error: KubeError) -> float:
        is_forbidden = error.status == 403
        advice = ": grant the agent's account get, list and watch on pods there" if is_forbidden else ""
        self._complaints.report(self.place, "Pods of %s cannot be watched%s. %s", self.place, advice, error)
        self._failures += 1
        self._step_back()
        backoff = RECONNECT if error.status == UNAUTHORIZED else self._denied
        return backoff.seconds(self._failures, jitter=random.random())

    def _step_back(self) -> None:
        """Let another agent watch: it may reach this cluster."""
        try:
            self._lease.step_back(self._lease.seconds * 1.5)
        except StoreUnavailable:
            log.info("The lease of %s could not be released; it expires by itself", self.place)

    def _run(self, stop: threading.Event) -> bool:
        """Watch once, from the known version or from a list; return whether the server ended the watch.

        :raises KubeError, StoreUnavailable: see :meth:`_run_safely`.
        """
        self._stream.record_due()
        if not self._version:
            self._version = self._stored_version.get_resource_version()
        if not self._version or self._is_list_due():
            self._list()
        reader = WatchReader(
            self._client,
            namespace=self._namespace,
            selector=self._selector,
            resource_version=self._version,
            silence_seconds=self._silence_seconds,
        )
        try:
            while self._lease.is_held and not stop.is_set() and not self._is_list_due():
                if self._take_in(reader.take(most=_MOST_EVENTS, wait_seconds=_TICK_SECONDS)):
                    return True
        finally:
            reader.stop()
        return False

    def _take_in(self, items: Sequence[Event | WatchEnd]) -> bool:
        """Take in the watch's events; return whether it has ended.

        :raises KubeError: it ended with an error.
        """
        events: list[dict[str, Any]] = [item for item in items if not isinstance(item, WatchEnd)]
        self._tell_age()
        if events:
            self._heard_at = time.monotonic()
            self._version = self._stream.take_in(events) or self._version
            self._failures = 0
            self._complaints.settle(self.place, "The watch of %s goes on", self.place)
        self._stream.record_due()
        self._stream.ask_for_reasons()
        self._save_version()
        if items and isinstance(end := items[-1], WatchEnd):
            if end.error is not None:
                raise end.error
            return True
        return False

    def _is_list_due(self) -> bool:
        return self._relist_asked_for.is_set() or time.monotonic() >= self._next_list

    def _list(self) -> None:
        # Cleared first: a request during the list gets another list.
        self._relist_asked_for.clear()
        began = time.monotonic()
        self._version = self._relist.run(self._stream.memory)
        self._heard_at = time.monotonic()
        self._metrics.time(
            metric.RELIST_TIME,
            self._heard_at - began,
            cluster=self._cluster,
            kube_namespace=self._namespace or "all",
        )
        self._next_list = time.monotonic() + self._relist_seconds * (0.9 + 0.2 * random.random())
        self._next_save = 0.0
        self._save_version()

    def _save_version(self) -> None:
        now = time.monotonic()
        if now < self._next_save or self._version == self._saved_version:
            return
        self._stored_version.set_resource_version(self._version, lease=self._lease.current)
        self._saved_version = self._version
        self._next_save = now + _SAVE_EVERY_SECONDS

    def _clear_stored_version(self) -> None:
        try:
            self._stored_version.clear()
        except StoreUnavailable:
            log.info("Redis unavailable: the old version of %s stays stored, and is refused once more", self.place)
