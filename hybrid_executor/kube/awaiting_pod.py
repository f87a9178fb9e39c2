"""A pod that is made for one attempt and gets its workload by its standard input: its spec holds no token. Pure.

The label ``hybrid-executor/workload`` is ``awaited`` until an agent begins to hand the workload over, and ``claimed``
from then on. The patch tests for ``awaited``, so the API server lets exactly one agent begin. A pod that is still
``awaited`` has certainly not got a workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_executor.kube.manifest import BASE_CONTAINER, ENTRY_POINT
from hybrid_executor.kube.warm_pod import (
    ANNOTATION_CLAIM,
    CLAIMED,
    NOTHING_RAN,
    change_label,
    path_of,
    warm_state,
    with_program,
)

LABEL_WORKLOAD = "hybrid-executor/workload"
AWAITED = "awaited"
ON_DEMAND = "on-demand"
"""Tells the program to import what a task needs after it has got its workload, as a pod of its own does."""

_MARK = f"NOTHING_RAN = {NOTHING_RAN}"
"""A line of the program, by which it is found in whatever a mutation hook has made of the arguments."""


def as_awaiting(pod: dict[str, Any], *, program: str, wait_seconds: float) -> dict[str, Any]:
    """Return a pod that was built with an empty payload as one that awaits its workload.

    Unchanged if a layer above ours has replaced the arguments: such a pod runs what they say, and needs no workload.

    :param wait_seconds: the program ends by itself after this time, so that nothing waits for ever.
    """
    if _base_of(pod).get("args") != [*ENTRY_POINT, ""]:
        return pod
    metadata = {**pod["metadata"], "labels": {**pod["metadata"]["labels"], LABEL_WORKLOAD: AWAITED}}
    return {
        **pod,
        "metadata": metadata,
        "spec": with_program(pod["spec"], [program, f"{wait_seconds:g}", ON_DEMAND]),
    }


def as_hooked(pod: dict[str, Any]) -> dict[str, Any]:
    """Return a pod as it is after the mutation hook; without our label if the hook has replaced the program."""
    base = _base_of(pod)
    texts = [*(base.get("command") or ()), *(base.get("args") or ())]
    if base.get("stdin") and any(_MARK in str(text) for text in texts):
        return pod
    labels = {name: value for name, value in pod["metadata"]["labels"].items() if name != LABEL_WORKLOAD}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}}


def _base_of(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: list[Mapping[str, Any]] = pod["spec"].get("containers") or []
    return next((container for container in containers if container.get("name") == BASE_CONTAINER), {})


def begin_patch(claim: str) -> list[dict[str, Any]]:
    """Return the JSON patch by which an agent begins to hand the workload over; it fails (422) after another's.

    :param claim: names this one try, to tell after a lost answer whose patch has succeeded.
    """
    claimed = {"op": "add", "path": path_of("annotations", ANNOTATION_CLAIM), "value": claim}
    return [*change_label(LABEL_WORKLOAD, AWAITED, CLAIMED), claimed]


def hand_over_state(pod: Mapping[str, Any]) -> str:
    """Return how far the hand-over to a pod is.

    ``waiting`` for any attempt (a warm pod); ``awaited`` by a pod of one attempt; ``claimed``, for both kinds, once an
    agent may hand the workload over; "" for a pod that has its workload in its arguments.
    """
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return warm_state(pod) or str(labels.get(LABEL_WORKLOAD) or "")


def is_of_one_attempt(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod was made for one attempt, and no warm pod."""
    return not warm_state(pod)
