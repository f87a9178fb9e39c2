"""A pod's name, labels and annotations, and the selectors that find it.

Pure and deterministic: the same attempt and launch always give the same name, so that a repeated creation is a conflict
and not a second pod. Labels hold shortened values, annotations hold exact ones; read identities from annotations.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from hybrid_executor.kube.request import PodRequest

MAX_NAME = 63
_HASH_LENGTH = 12
_MAX_LABEL = 63
_LABEL_HASH_LENGTH = 9

LABEL_INSTANCE = "hybrid-executor/instance"
LABEL_ATTEMPT = "hybrid-executor/attempt"
LABEL_QUEUE = "hybrid-executor/queue"
LABEL_LAUNCH = "hybrid-executor/launch"
LABEL_KIND = "hybrid-executor/kind"
LABEL_REDIS = "hybrid-executor/redis"
ANNOTATION_QUEUE = "hybrid-executor/queue"
ANNOTATION_ATTEMPT = "hybrid-executor/attempt"
ANNOTATION_MOVES = "hybrid-executor/moves"

LABEL_DONE = "airflow_executor_done"
_MARKED = "True"


def pod_name(dag_id: str, task_id: str, attempt_id: str, launch: int = 0) -> str:
    """Return the name of the pod of one launch of one attempt: a DNS-1123 label of at most 63 characters.

    A readable part from dag and task, and a hash that differs for each attempt and launch.
    """
    digest = hashlib.sha256(f"{attempt_id}/{launch}".encode()).hexdigest()[:_HASH_LENGTH]
    slug = _slug(f"{dag_id}-{task_id}")[: MAX_NAME - _HASH_LENGTH - 1].rstrip("-")
    return f"{slug or 'airflow'}-{digest}"


def make_safe_label_value(value: str) -> str:
    """Return ``value`` as a label value, by the rule that Airflow's own labels follow.

    Characters that labels may not have are dropped; a value that had to change, or is over 63 characters, is cut and
    ends in "-" and nine digits of its MD5. A value of which nothing is left is that hash alone (the API refuses a
    leading "-").
    """
    trimmed = re.sub(r"\A[^a-zA-Z0-9]+|[^a-zA-Z0-9]+\Z", "", value)
    safe = re.sub(r"[^a-zA-Z0-9_.-]", "", trimmed)
    if safe == value and len(safe) <= _MAX_LABEL:
        return safe
    digest = hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()[:_LABEL_HASH_LENGTH]
    head = safe[: _MAX_LABEL - _LABEL_HASH_LENGTH - 1]
    return f"{head}-{digest}" if head else digest


def labels_of(request: PodRequest) -> dict[str, str]:
    """Return our labels of the request's pod; ids that a workload does not have are left out."""
    labels = {
        LABEL_INSTANCE: request.instance,
        LABEL_ATTEMPT: request.attempt_id,
        LABEL_QUEUE: request.queue,
        LABEL_LAUNCH: str(request.launch),
        LABEL_KIND: request.kind,
        LABEL_REDIS: request.redis_id,
        "dag_id": request.dag_id,
        "task_id": request.task_id,
        "run_id": request.run_id,
        "airflow_version": request.airflow_version.replace("+", "-"),
    }
    if request.try_number > 0:
        labels["try_number"] = str(request.try_number)
    if request.map_index >= 0:
        labels["map_index"] = str(request.map_index)
    return {name: make_safe_label_value(value) for name, value in labels.items() if value}


def annotations_of(request: PodRequest) -> dict[str, str]:
    """Return our annotations of the request's pod: the exact ids that labels may have shortened."""
    annotations = {
        ANNOTATION_ATTEMPT: request.attempt_id,
        ANNOTATION_QUEUE: request.queue,
        "dag_id": request.dag_id,
        "task_id": request.task_id,
        "run_id": request.run_id,
    }
    if request.moves > 0:
        annotations[ANNOTATION_MOVES] = str(request.moves)
    if request.try_number > 0:
        annotations["try_number"] = str(request.try_number)
    if request.map_index >= 0:
        annotations["map_index"] = str(request.map_index)
    return {name: value for name, value in annotations.items() if value}


def instance_selector(instance: str, *, with_done: bool = False) -> str:
    """Return the label selector of an installation's pods; those marked done only ``with_done``."""
    selector = f"{LABEL_INSTANCE}={make_safe_label_value(instance)}"
    return selector if with_done else f"{selector},{LABEL_DONE}!={_MARKED}"


def attempt_selector(instance: str, attempt_id: str) -> str:
    """Return the label selector of the pods of one attempt (more than one after a relaunch), done ones too."""
    return f"{instance_selector(instance, with_done=True)},{LABEL_ATTEMPT}={make_safe_label_value(attempt_id)}"


def is_of_another(pod: Mapping[str, Any], instance: str) -> bool:
    """Return whether a pod says that it belongs to another installation, such as another team's.

    What Redis says of a pod is not enough: a team may write into its own Redis the name of another team's pod.
    """
    label = ((pod.get("metadata") or {}).get("labels") or {}).get(LABEL_INSTANCE)
    return bool(label) and label != make_safe_label_value(instance)


def done_patch() -> dict[str, Any]:
    """Return the merge patch that marks a pod as finished and kept. The instance's selector then leaves it out."""
    return {"metadata": {"labels": {LABEL_DONE: _MARKED}}}


def ending_patch() -> dict[str, Any]:
    """Return the merge patch that marks a pod as :func:`done_patch` does and makes its node end what still runs.

    The pod stays: ``activeDeadlineSeconds`` may be set and lowered at any time, and a pod that is older fails.
    """
    return {**done_patch(), "spec": {"activeDeadlineSeconds": 1}}


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
