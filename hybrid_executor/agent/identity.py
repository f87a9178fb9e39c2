"""To which attempt a pod belongs, read from the labels and annotations that the launcher wrote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_executor.kube.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_MOVES,
    LABEL_ATTEMPT,
    LABEL_LAUNCH,
    LABEL_REDIS,
    is_of_another,
)

ANNOTATION_GENERATION = "hybrid-executor/generation"
"""The generation of the record that the pod was launched for. It keeps an old pod from changing a newer launch."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """One pod of ours.

    :ivar launch: 0 for the attempt's first pod.
    :ivar moves: how many of its launches were moves from another target; the others followed a failure.
    :ivar generation: of the record when the pod was launched.
    :ivar uid: differs for a later pod of the same name.
    :ivar version: the pod's resourceVersion, opaque.
    :ivar redis_id: id of the Redis that held its record when it was launched, "" if the pod has none.
    """

    attempt: AttemptId
    launch: int
    generation: int
    namespace: str
    name: str
    uid: str
    version: str
    redis_id: str = ""
    moves: int = 0

    @property
    def failed_launches(self) -> int:
        """How many pods the attempt has lost before this one."""
        return max(0, self.launch - self.moves)

    @property
    def path(self) -> str:
        """Namespace and name, for people."""
        return f"{self.namespace}/{self.name}"


def identify(pod: Mapping[str, Any]) -> PodIdentity | None:
    """Return the pod's identity, None for a pod that our launcher did not create."""
    metadata = pod.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    attempt = annotations.get(ANNOTATION_ATTEMPT) or labels.get(LABEL_ATTEMPT)
    if not attempt:
        return None
    launch = _number(labels.get(LABEL_LAUNCH), otherwise=0)
    return PodIdentity(
        attempt=AttemptId(attempt),
        launch=launch,
        generation=_number(annotations.get(ANNOTATION_GENERATION), otherwise=launch + 1),
        namespace=metadata.get("namespace") or "",
        name=metadata.get("name") or "",
        uid=metadata.get("uid") or "",
        version=metadata.get("resourceVersion") or "",
        redis_id=labels.get(LABEL_REDIS) or "",
        moves=_number(annotations.get(ANNOTATION_MOVES), otherwise=0),
    )


def identify_own(pod: Mapping[str, Any], instance: str) -> PodIdentity | None:
    """Return the pod's identity, None also for a pod of another installation than ``instance``."""
    return None if is_of_another(pod, instance) else identify(pod)


def _number(text: str | None, *, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() else otherwise
