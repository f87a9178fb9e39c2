"""What an event or a list shows of a pod, kept small: lists may hold thousands. Pure."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from hybrid_executor.agent.identity import PodIdentity, identify
from hybrid_executor.kube.diagnosis import Diagnosis, diagnose

log = logging.getLogger(__name__)
_DEFAULT_GRACE_SECONDS = 30.0  # Kubernetes' own


@dataclass(frozen=True, slots=True)
class Sighting:
    """One pod of ours at one moment.

    :ivar has_ended: nothing in the pod will run any more.
    :ivar is_terminating: its deletion has begun.
    :ivar is_gone: it does not exist any more: there is nothing to clean up.
    :ivar runs_on: a container of it runs.
    :ivar grace_seconds: how long its node lets its containers take to end.
    """

    identity: PodIdentity
    diagnosis: Diagnosis
    has_ended: bool = False
    is_terminating: bool = False
    is_gone: bool = False
    runs_on: bool = False
    grace_seconds: float = _DEFAULT_GRACE_SECONDS


def sight_safely(
    pod: Mapping[str, Any], *, event_type: str = "ADDED", fatal_pending_reasons: Collection[str] = ()
) -> Sighting | None:
    """Return what :func:`sight` does, and None for a pod that cannot be understood: it is logged and left as it is."""
    try:
        return sight(pod, event_type=event_type, fatal_pending_reasons=fatal_pending_reasons)
    except Exception:
        name = (pod.get("metadata") or {}).get("name") if isinstance(pod, Mapping) else None
        log.exception("The status of pod %s cannot be understood; it is left as it is", name)
        return None


def sight(
    pod: Mapping[str, Any], *, event_type: str = "ADDED", fatal_pending_reasons: Collection[str] = ()
) -> Sighting | None:
    """Return what is seen of a raw pod, None for a pod that is not ours."""
    identity = identify(pod)
    if identity is None:
        return None
    status = pod.get("status") or {}
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return Sighting(
        identity,
        diagnose(pod, event_type=event_type, fatal_pending_reasons=fatal_pending_reasons),
        has_ended=status.get("phase") in ("Succeeded", "Failed"),
        is_terminating=(pod.get("metadata") or {}).get("deletionTimestamp") is not None,
        is_gone=event_type == "DELETED",
        runs_on=any(_runs(status, group) for group in ("containerStatuses", "initContainerStatuses")),
        grace_seconds=_DEFAULT_GRACE_SECONDS if grace is None else float(grace),
    )


def _runs(status: Mapping[str, Any], group: str) -> bool:
    containers = cast(list[Mapping[str, Any]], status.get(group) or [])
    return any((container.get("state") or {}).get("running") is not None for container in containers)
