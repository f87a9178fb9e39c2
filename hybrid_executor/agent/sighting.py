"""What an event or a list shows of a pod, kept small: lists may hold thousands. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_executor.agent.identity import PodIdentity, identify
from hybrid_executor.kube.diagnosis import Diagnosis, diagnose


@dataclass(frozen=True, slots=True)
class Sighting:
    """One pod of ours at one moment.

    :ivar has_ended: nothing in the pod will run any more.
    :ivar is_terminating: its deletion has begun.
    :ivar is_gone: it does not exist any more: there is nothing to clean up.
    """

    identity: PodIdentity
    diagnosis: Diagnosis
    has_ended: bool = False
    is_terminating: bool = False
    is_gone: bool = False


def sight(
    pod: Mapping[str, Any], *, event_type: str = "ADDED", fatal_pending_reasons: Collection[str] = ()
) -> Sighting | None:
    """Return what is seen of a raw pod, None for a pod that is not ours."""
    identity = identify(pod)
    if identity is None:
        return None
    return Sighting(
        identity,
        diagnose(pod, event_type=event_type, fatal_pending_reasons=fatal_pending_reasons),
        has_ended=(pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"),
        is_terminating=(pod.get("metadata") or {}).get("deletionTimestamp") is not None,
        is_gone=event_type == "DELETED",
    )
