"""Keeps pods waiting for attempts in one cluster, under a lease.

Promises: it deletes only pods that nobody has claimed since it saw them. A pod is offered to attempts once it has said
that it is ready, and not any more once its template, image or profile has changed. An error concerns one profile.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from hybrid_executor.agent.launch.pod_factory import PodFactory, WaitingPod
from hybrid_executor.agent.leases import KeptLease
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.warm.inventory import Plan, WaitingPodSeen, make_plan, see, wanted_pods
from hybrid_executor.agent.warm.making import WaitingPodMaker
from hybrid_executor.agent.warm.start_pace import StartPace
from hybrid_executor.backoff import CREATE, DENIED
from hybrid_executor.complaints import REDIS, REDIS_UNAVAILABLE, Complaints
from hybrid_executor.config import Profile
from hybrid_executor.errors import KubeError, StoreUnavailable, TaskRejected
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.demand import demand_of
from hybrid_executor.kube.manifest import BASE_CONTAINER
from hybrid_executor.kube.rights import HOW_TO_GRANT_ATTACH, AttachRight
from hybrid_executor.kube.warm_pod import WAITING, is_ready, warm_selector
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.store import BUCKET_SECONDS, Lease, Store

log = logging.getLogger(__name__)

_TURN_SECONDS = 1.0
_TICK_SECONDS = 0.2
_TAKEN_SECONDS = 60.0
_FIRST_BYTES = 65_536
_FAILURES_AT_ONCE = 3
_NO_RIGHT = f"Tasks start without warm pods in namespace %s of cluster %s: {HOW_TO_GRANT_ATTACH}"


@dataclass
class _Kept:
    """What is known of one profile's pods from turn to turn. Times are monotonic seconds.

    :ivar ready: uids of pods that have said that they are ready. :ivar failures: pods in a row that did not get ready.
    :ivar pace: how many may start at the same time, and how long attempts wait for them.
    """

    profile: Profile
    pace: StartPace = field(default_factory=StartPace)
    ready: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    failures: int = 0
    failed: set[str] = field(default_factory=set)
    not_before: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)


class WarmKeeper:
    """Keeps the waiting pods of one cluster.

    :ivar is_paused: makes and deletes none. :ivar lease: its holder keeps the pods; a LeaseKeeper renews it.
    :param profiles: those with warm pods, by name.
    :param on_freed: called with each namespace in which pods were deleted.
    """

    def __init__(
        self,
        *,
        cluster: str,
        instance: str,
        client: KubeClient,
        store: Store,
        factory: PodFactory,
        profiles: Mapping[str, Profile],
        maker: WaitingPodMaker,
        lease: KeptLease,
        ownership: Ownership,
        complaints: Complaints,
        on_freed: Callable[[str], None] = lambda _: None,
        metrics: Metrics = SILENT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.is_paused = False
        self._cluster = cluster
        self._instance = instance
        self._client = client
        self._store = store
        self._factory = factory
        self._maker = maker
        self.lease = lease
        self._ownership = ownership
        self._complaints = complaints
        self._on_freed = on_freed
        self._metrics = metrics
        self._clock = clock
        self._attach = AttachRight(client, clock=clock)
        self._wall_clock = wall_clock
        self._kept = {name: _Kept(profile) for name, profile in profiles.items()}

    @property
    def seen(self) -> dict[str, dict[str, float]]:
        """What was last seen of each profile's pods while this agent held the lease, for its announcement."""
        return {name: dict(kept.seen) for name, kept in self._kept.items()} if self.lease.is_held else {}

    def run(self, stop: threading.Event) -> None:
        """Keep pods while the lease is held, until ``stop``."""
        while not stop.is_set():
            if not self.lease.wait_until_held(_TICK_SECONDS):
                continue
            self.turn()
            stop.wait(_TURN_SECONDS * (0.9 + 0.2 * random.random()))

    def turn(self) -> None:
        """Look at the pods of each profile once, and do what is due. Never raises."""
        for name, kept in self._kept.items():
            lease = self.lease.current
            if lease is None or self.is_paused:
                return
            subject = f"warm:{self._cluster}:{name}"
            try:
                self._look_after(kept, lease)
            except StoreUnavailable as error:
                self._complaints.report(REDIS, REDIS_UNAVAILABLE, error)
            except KubeError as error:
                words = "Warm pods of profile %s in cluster %s cannot be looked after: %s"
                self._complaints.report(subject, words, name, self._cluster, error)
            except Exception as error:  # noqa: BLE001 - one profile must not keep the others waiting
                words = "Warm pods of profile %s in cluster %s cannot be looked after"
                self._complaints.unexpected(subject, words, name, self._cluster, error=error)
            else:
                words = "Warm pods of profile %s in cluster %s are looked after again"
                self._complaints.settle(subject, words, name, self._cluster)

    def _look_after(self, kept: _Kept, lease: Lease) -> None:
        waiting = self._describe(kept)
        namespace = waiting.namespace if waiting else kept.profile.namespace
        if namespace is None:
            return
        pods = self._list(namespace, kept.profile.name)
        now = self._client.server_time.timestamp() if self._client.server_time else self._wall_clock()
        self._note_ready(kept, pods, now=now)
        wanted = self._wanted(kept, namespace) if waiting is not None else 0
        warm = kept.profile.warm
        assert warm is not None
        plan = make_plan(
            pods,
            kind=waiting.kind if waiting else "",
            wanted=wanted,
            ready=kept.ready,
            lifetime_seconds=warm.lifetime_seconds,
            now=now,
        )
        taken = self._offer(kept, waiting.kind if waiting else "", plan, pods, lease)
        if taken is None:
            return
        self._note_failures(kept, plan)
        self._delete([pod for pod in plan.deleted if pod.path not in taken])
        if waiting is not None:
            self._create(kept, waiting, plan)
            self._tell(kept, waiting, plan)

    def _describe(self, kept: _Kept) -> WaitingPod | None:
        """Return the pod that the profile describes now, ``None`` if it describes none."""
        subject, name = f"warm-template:{self._cluster}:{kept.profile.name}", kept.profile.name
        try:
            waiting = self._factory.build_waiting(kept.profile)
        except TaskRejected as error:
            self._complaints.report(subject, "No warm pods of profile %s can be made: %s", name, error)
            return None
        self._complaints.settle(subject, "Warm pods of profile %s can be made again", name)
        return waiting

    def _list(self, namespace: str, profile: str) -> list[WaitingPodSeen]:
        found = self._client.list_pods(namespace, warm_selector(self._instance, WAITING)).items
        pods = [see(pod) for pod in found]
        return [pod for pod in pods if pod.profile == profile and self._ownership.is_own(pod.redis_id)]

    def _note_ready(self, kept: _Kept, pods: Iterable[WaitingPodSeen], *, now: float) -> None:
        """Ask pods that run whether they are ready; those that are stay so."""
        alive = {pod.uid for pod in pods}
        kept.ready &= alive
        kept.failed &= alive
        for pod in pods:
            if not pod.runs or pod.is_terminating or pod.uid in kept.ready:
                continue
            try:
                text = self._client.read_pod_log(
                    pod.namespace, pod.name, container=BASE_CONTAINER, tail_lines=None, first_bytes=_FIRST_BYTES
                )
            except KubeError as error:
                log.debug("The log of waiting pod %s cannot be read: %s", pod.path, error)
                continue
            if is_ready(text):
                kept.ready.add(pod.uid)
                kept.failures = 0
                kept.pace.started(now - pod.created_at)
                self._maker.is_ready(pod.name)

    def _wanted(self, kept: _Kept, namespace: str) -> int:
        warm, name = kept.profile.warm, kept.profile.name
        assert warm is not None
        if not self._may_attach(namespace) or self._store.warm.is_short(self._cluster, namespace):
            return 0
        demand = self._store.warm.demand(self._cluster, name)
        now_bucket = self._store.now_milliseconds() // 1000 // BUCKET_SECONDS
        first = now_bucket - int(warm.idle_seconds // BUCKET_SECONDS) - 1
        self._store.warm.forget_demand(self._cluster, name, [bucket for bucket in demand if bucket < first])
        return wanted_pods(warm, demand, now_bucket=now_bucket, bucket_seconds=BUCKET_SECONDS)

    def _may_attach(self, namespace: str) -> bool:
        """Return whether the account may attach to pods of a namespace; where it may not, the log says so."""
        may_attach = self._attach.is_granted(namespace)
        subject = f"attach:{self._cluster}:{namespace}"
        if may_attach:
            self._complaints.settle(subject, "Warm pods of namespace %s are used again", namespace)
        else:
            self._complaints.report(subject, _NO_RIGHT, namespace, self._cluster)
        return may_attach

    def _offer(
        self, kept: _Kept, kind: str, plan: Plan, pods: Iterable[WaitingPodSeen], lease: Lease
    ) -> set[str] | None:
        """Say which pods attempts may get; return those that were given away lately, ``None`` without the lease."""
        taken: set[str] = set()
        now = self._store.now_milliseconds()
        # Pods that are to be deleted, and those of older kinds, are withdrawn before they are deleted.
        for known in {kind, *kept.kinds, *(pod.kind for pod in pods)} - {""}:
            offered = [pod.path for pod in plan.offered if known == kind]
            held = [pod.path for pod in pods if pod.kind == known and pod.uid in kept.ready and not pod.is_terminating]
            # Nobody waits for pods that end before they are ready.
            starting = len(plan.starting) if known == kind and kept.failures < _FAILURES_AT_ONCE else 0
            answer = self._store.warm.offer(
                self._cluster,
                known,
                offered,
                also_seen=held,
                starting=starting,
                wait_seconds=kept.pace.wait_seconds,
                lease=lease,
            )
            if answer is None:
                return None
            taken |= {item.pod for item in answer if now - item.since < _TAKEN_SECONDS * 1000}
            if stuck := {item.pod for item in answer} - taken:
                self._delete([pod for pod in pods if pod.path in stuck])
        kept.kinds = {kind, *(pod.kind for pod in pods)} - {""}
        return taken

    def _note_failures(self, kept: _Kept, plan: Plan) -> None:
        """Wait before more pods are made where several have ended before they were ready."""
        new = [pod for pod in plan.failed if pod.uid not in kept.failed]
        kept.failed |= {pod.uid for pod in new}
        kept.failures += len(new)
        if not new or kept.failures < _FAILURES_AT_ONCE:
            return
        seconds = DENIED.seconds(kept.failures // _FAILURES_AT_ONCE, jitter=random.random())
        kept.not_before = self._clock() + seconds
        log.warning(
            "Warm pods of profile %s end before they are ready, for example %s: the next one is made in %.0f s. %s",
            kept.profile.name,
            new[0].path,
            seconds,
            self._last_words(new[0]),
        )

    def _last_words(self, pod: WaitingPodSeen) -> str:
        try:
            text = self._client.read_pod_log(pod.namespace, pod.name, container=BASE_CONTAINER, tail_lines=3)
        except KubeError as error:
            return f"Its log cannot be read: {error}"
        return f"Its last lines: {' / '.join(text.splitlines())}" if text.strip() else "It has printed nothing."

    def _delete(self, pods: Iterable[WaitingPodSeen]) -> None:
        """Delete pods, except those that somebody has claimed since."""
        freed = set()
        for pod in pods:
            if pod.is_terminating:
                continue
            if self._client.delete_pod(pod.namespace, pod.name, uid=pod.uid, version=pod.version):
                log.info("Deleted waiting pod %s", pod.path)
                freed.add(pod.namespace)
        for namespace in freed:
            self._on_freed(namespace)

    def _create(self, kept: _Kept, waiting: WaitingPod, plan: Plan) -> None:
        count = min(plan.create, kept.pace.at_once - len(plan.starting))
        if count <= 0 or self._clock() < kept.not_before:
            return
        names = [f"{_slug(kept.profile.name)}-{uuid4().hex[:12]}" for _ in range(count)]
        error = self._maker.make(waiting, names)
        if error is not None:
            kept.not_before = self._clock() + CREATE.seconds(5, retry_after=error.seconds)
            words = "No warm pod of profile %s can be created now: %s"
            self._complaints.report(f"warm-create:{self._cluster}:{kept.profile.name}", words, kept.profile.name, error)

    def _tell(self, kept: _Kept, waiting: WaitingPod, plan: Plan) -> None:
        """Note what is there, for the status and the metrics."""
        demand = demand_of(waiting.pod, namespace=waiting.namespace)
        count = len(plan.offered) + len(plan.starting)
        cpu, memory = (float(demand.amount(f"requests.{name}")) * count for name in ("cpu", "memory"))
        states = {"ready": len(plan.offered), "starting": len(plan.starting), "stale": len(plan.stale)}
        kept.seen = {**states, "wanted": plan.create + count, "cpu": cpu, "memory": memory}
        cluster, profile = self._cluster, kept.profile.name
        for state, number in states.items():
            self._metrics.gauge(metric.WARM_PODS, number, cluster=cluster, profile=profile, state=state)
        self._metrics.gauge(metric.WARM_CPU, cpu, cluster=cluster, profile=profile)
        self._metrics.gauge(metric.WARM_MEMORY, memory, cluster=cluster, profile=profile)


def _slug(profile: str) -> str:
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in profile.lower()).strip("-")
    return f"warm-{safe[:40]}".strip("-")
