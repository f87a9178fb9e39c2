"""A warm pod as the API has it: its manifest, its labels, the patch that gives it to an attempt, and its log. Pure.

The label ``hybrid-executor/warm`` is ``waiting`` until a pod is given to an attempt, and ``claimed`` from then on. The
patch tests for ``waiting``, so the API server lets exactly one patch succeed, whatever Redis says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hybrid_executor.kube.manifest import BASE_CONTAINER
from hybrid_executor.kube.names import LABEL_INSTANCE, annotations_of, labels_of, make_safe_label_value
from hybrid_executor.kube.request import PodRequest

LABEL_WARM = "hybrid-executor/warm"
LABEL_WARM_KIND = "hybrid-executor/warm-kind"
ANNOTATION_PROFILE = "hybrid-executor/profile"
ANNOTATION_CLAIM = "hybrid-executor/claim"
WAITING, CLAIMED = "waiting", "claimed"

NOTHING_RAN = 97
"""The exit code of a warm pod that has accepted no workload and will accept none; see ``agent/warm/program.py``."""

_SAYS = "hybrid-executor: "
READY = f"{_SAYS}ready"
_ACCEPTED = f"{_SAYS}accepted "
_KIND_LENGTH = 16
_NOT_KEPT = ("restartPolicy", "restartPolicyRules", "tty")

Acceptance = Literal["accepted", "waiting", "unknown"]


def as_waiting(
    pod: Mapping[str, Any], *, program: str, wait_seconds: float, profile: str, priority_class: str = ""
) -> dict[str, Any]:
    """Return a pod without a workload whose task's container runs ``program`` and waits for a line.

    :param wait_seconds: the program ends by itself after this time, so that nothing waits for ever.
    """
    spec = with_program(pod["spec"], [program, f"{wait_seconds:g}"])
    if priority_class:
        spec["priorityClassName"] = priority_class
    metadata = {**pod["metadata"]}
    metadata["labels"] = {**metadata["labels"], LABEL_WARM: WAITING}
    metadata["annotations"] = {**metadata["annotations"], ANNOTATION_PROFILE: profile}
    return {**pod, "metadata": metadata, "spec": spec}


def with_program(spec: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return a pod's spec whose task's container runs a Python program that reads its standard input.

    The container is never started again: it would wait for another workload, and there is none. It has no terminal,
    which would repeat the workload in the log.

    :param arguments: the program's text, and what it is given.
    """
    containers = [_reads(container, arguments) for container in spec["containers"]]
    return {**spec, "containers": containers, "restartPolicy": "Never"}


def _reads(container: Mapping[str, Any], arguments: Sequence[str]) -> Mapping[str, Any]:
    if container.get("name") != BASE_CONTAINER:
        return container
    kept = {name: value for name, value in container.items() if name not in _NOT_KEPT}
    return {**kept, "args": ["python", "-c", *arguments], "stdin": True, "stdinOnce": True}


def kind_of(pod: Mapping[str, Any]) -> str:
    """Return a text that is the same for pods that differ in their names only."""
    metadata = {key: value for key, value in pod["metadata"].items() if key != "name"}
    text = json.dumps({**pod, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_KIND_LENGTH]


def with_name(pod: Mapping[str, Any], *, name: str, kind: str) -> dict[str, Any]:
    """Return a waiting pod that can be created."""
    metadata = {**pod["metadata"], "name": name}
    metadata["labels"] = {**metadata["labels"], LABEL_WARM_KIND: kind}
    return {**pod, "metadata": metadata}


def claim_patch(request: PodRequest, *, annotations: Mapping[str, str], claim: str) -> list[dict[str, Any]]:
    """Return the JSON patch that gives a waiting pod to an attempt.

    It fails (422) if the pod is not waiting, or is that of another instance, whatever Redis says.

    :param annotations: those beside the request's own.
    :param claim: names this one try, to tell after a lost answer whose patch has succeeded.
    """
    own = {"op": "test", "path": path_of("labels", LABEL_INSTANCE), "value": make_safe_label_value(request.instance)}
    patch = [own, *change_label(LABEL_WARM, WAITING, CLAIMED)]
    given = {
        "labels": labels_of(request),
        "annotations": {**annotations_of(request), **annotations, ANNOTATION_CLAIM: claim},
    }
    for part, values in given.items():
        patch += [{"op": "add", "path": path_of(part, name), "value": value} for name, value in values.items()]
    return patch


def change_label(label: str, old: str, new: str) -> list[dict[str, Any]]:
    """Return the JSON patch that changes a label; it fails (422) if the label has another value than ``old``."""
    path = path_of("labels", label)
    return [{"op": "test", "path": path, "value": old}, {"op": "replace", "path": path, "value": new}]


def path_of(part: str, name: str) -> str:
    """Return the JSON pointer of a label or an annotation."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    return f"/metadata/{part}/{escaped}"


def warm_state(pod: Mapping[str, Any]) -> str:
    """Return ``waiting`` or ``claimed``, "" for a pod that is no warm pod."""
    return str(((pod.get("metadata") or {}).get("labels") or {}).get(LABEL_WARM) or "")


def claim_of(pod: Mapping[str, Any]) -> str:
    """Return the try that the pod was claimed by, "" for none."""
    return str(((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_CLAIM) or "")


def warm_selector(instance: str, *states: str) -> str:
    """Return the label selector of an installation's warm pods in these states."""
    return f"{LABEL_INSTANCE}={make_safe_label_value(instance)},{LABEL_WARM} in ({','.join(states)})"


def is_ready(log: str) -> bool:
    """Return whether a waiting pod's log says that it is ready."""
    return READY in log.splitlines()


def is_acceptance(line: str, attempt: str) -> bool:
    """Return whether a line says that the pod has accepted this attempt's workload."""
    return line.rstrip("\r") == f"{_ACCEPTED}{attempt}"


def acceptance_in(log: str, attempt: str) -> Acceptance:
    """Return whether the whole log of a claimed pod shows that it has accepted the attempt.

    A log without the ready line has been rotated: before it accepts a workload, a pod prints next to nothing.
    """
    lines = log.splitlines()
    if any(is_acceptance(line, attempt) for line in lines):
        return "accepted"
    if not any(line.rstrip("\r") == READY for line in lines):
        return "accepted" if lines else "unknown"
    return "waiting"


def without_hand_over(log: str) -> str:
    """Return a log without the lines of the hand-over: it then begins with the task's own lines."""
    if _SAYS not in log:
        return log
    lines = log.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.rstrip("\r\n") == READY or line.startswith(_ACCEPTED)))


def hand_over_line(attempt: str, payload: str) -> str:
    """Return what a warm pod reads: attempt and workload, on one line. It holds a token."""
    workload = json.dumps(json.loads(payload), separators=(",", ":")) if "\n" in payload else payload
    return f"{attempt} {workload}"
