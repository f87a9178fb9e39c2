"""Which waiting pods there are, how many there should be, and what follows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hybrid_executor.config.warm import WarmPods
from hybrid_executor.kube.names import LABEL_REDIS
from hybrid_executor.kube.warm_pod import ANNOTATION_PROFILE, LABEL_WARM_KIND

_WINDOW_BUCKETS = 3
"""Demand is the most that was asked for within three buckets in a row: about as long as a pod takes to become ready."""


@dataclass(frozen=True)
class WaitingPodSeen:
    """One pod with the label ``waiting``.

    :ivar path: ``namespace/name``. :ivar version: its resourceVersion.
    :ivar runs: its containers run. :ivar has_ended: it will not get ready any more.
    :ivar created_at: seconds since the epoch, on the cluster's clock.
    """

    path: str
    uid: str
    version: str
    kind: str
    profile: str
    redis_id: str
    runs: bool
    has_ended: bool
    is_terminating: bool
    created_at: float

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.partition("/")[2]


def see(pod: Mapping[str, Any]) -> WaitingPodSeen:
    """Return what is seen of a raw pod."""
    metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return WaitingPodSeen(
        path=f"{metadata.get('namespace') or 'default'}/{metadata['name']}",
        uid=str(metadata.get("uid") or ""),
        version=str(metadata.get("resourceVersion") or ""),
        kind=str(labels.get(LABEL_WARM_KIND) or ""),
        profile=str(annotations.get(ANNOTATION_PROFILE) or ""),
        redis_id=str(labels.get(LABEL_REDIS) or ""),
        runs=phase == "Running",
        has_ended=phase in ("Succeeded", "Failed"),
        is_terminating=metadata.get("deletionTimestamp") is not None,
        created_at=_seconds(str(metadata.get("creationTimestamp") or "")),
    )


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def wanted_pods(warm: WarmPods, demand: Mapping[int, int], *, now_bucket: int, bucket_seconds: int) -> int:
    """Return how many pods should wait.

    :param demand: attempts that asked for a pod, by bucket of time.
    """
    first = now_bucket - int(warm.idle_seconds // bucket_seconds)
    recent = {bucket for bucket in demand if first <= bucket <= now_bucket}
    peak = max((sum(demand.get(bucket + step, 0) for step in range(_WINDOW_BUCKETS)) for bucket in recent), default=0)
    return max(warm.idle, min(warm.most, peak))


@dataclass(frozen=True)
class Plan:
    """What is to be done about one profile's waiting pods.

    :ivar offered: ready pods that attempts may get. :ivar starting: pods that are not ready yet.
    :ivar stale: pods that are not used any more; they are among ``deleted``.
    :ivar failed: pods that ended before they were ready.
    """

    create: int = 0
    offered: tuple[WaitingPodSeen, ...] = ()
    starting: tuple[WaitingPodSeen, ...] = ()
    stale: tuple[WaitingPodSeen, ...] = ()
    failed: tuple[WaitingPodSeen, ...] = ()
    deleted: tuple[WaitingPodSeen, ...] = field(default=())


def make_plan(
    pods: Sequence[WaitingPodSeen],
    *,
    kind: str,
    wanted: int,
    ready: Collection[str],
    lifetime_seconds: float,
    now: float,
) -> Plan:
    """Return what is to be done.

    :param pods: all waiting pods of the profile. :param kind: of the pods that it describes now, "" for none.
    :param wanted: how many should wait. :param ready: uids of pods that have said that they are ready.
    :param now: seconds since the epoch, on the cluster's clock.
    """
    alive = [pod for pod in pods if not pod.is_terminating]
    ended = [pod for pod in alive if pod.has_ended]
    is_stale = {pod.uid: pod.kind != kind or now - pod.created_at > lifetime_seconds for pod in alive}
    stale = [pod for pod in alive if not pod.has_ended and is_stale[pod.uid]]
    fresh = [pod for pod in alive if not pod.has_ended and not is_stale[pod.uid]]
    by_age = sorted(fresh, key=lambda pod: (pod.uid not in ready, pod.created_at))
    kept, surplus = by_age[:wanted], by_age[wanted:]
    return Plan(
        create=max(0, wanted - len(fresh)) if kind else 0,
        offered=tuple(pod for pod in kept if pod.uid in ready),
        starting=tuple(pod for pod in kept if pod.uid not in ready),
        stale=tuple(stale),
        failed=tuple(pod for pod in ended if pod.uid not in ready and pod.kind == kind),
        deleted=(*ended, *stale, *surplus),
    )
