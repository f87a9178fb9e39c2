"""Whose pod a pod is, read from what the launcher wrote on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_executor.events import AttemptId
from hybrid_executor.kube.names import ANNOTATION_ATTEMPT, LABEL_ATTEMPT, LABEL_DONE, LABEL_LAUNCH

ANNOTATION_GENERATION = "hybrid-executor/generation"
"""The generation of the record that the pod was launched for: what fences it off from its successors."""

_METADATA = ("name", "namespace", "uid", "resourceVersion", "labels", "annotations", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """One pod of ours.

    :ivar launch: 0 for the attempt's first pod.
    :ivar generation: of the record when the pod was launched.
    :ivar uid: differs for a later pod of the same name.
    :ivar version: the pod's resourceVersion, opaque.
    """

    attempt: AttemptId
    launch: int
    generation: int
    namespace: str
    name: str
    uid: str
    version: str

    @property
    def path(self) -> str:
        """Namespace and name, for people."""
        return f"{self.namespace}/{self.name}"


def identify(pod: Mapping[str, Any]) -> PodIdentity | None:
    """Return whose pod this is; None for one that no launcher of ours has made."""
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
    )


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod's deletion has begun."""
    return (pod.get("metadata") or {}).get("deletionTimestamp") is not None


def is_marked_done(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod has been seen to and is kept."""
    return LABEL_DONE in ((pod.get("metadata") or {}).get("labels") or {})


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return whether nothing in the pod will run any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def essence(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identity and diagnosis need of a pod: a tenth of it, which counts where a list holds thousands."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    return {
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
        "spec": {
            **{name: spec[name] for name in ("nodeName", "restartPolicy") if name in spec},
            "containers": [{"name": container.get("name")} for container in spec.get("containers") or ()],
        },
        "status": pod.get("status") or {},
    }


def _number(text: str | None, *, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() else otherwise
