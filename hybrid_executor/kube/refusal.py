"""What a failed creation of a pod means: the pod exists, try again later, or give up.

Pure. Promises: only an error of this pod, or a right that stays missing, fails the task. If the cluster is busy, full
or unreachable, the namespace closing or the credentials expired, the creation is tried again. If an administrator or a
controller may fix the cause soon (a missing account, right or namespace), it is tried again for a limited time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hybrid_executor.errors import KubeError, KubeUnavailable
from hybrid_executor.kube.quota import QuotaRefusal, read_quota_refusal

Action = Literal["exists", "retry", "reject"]
Concerns = Literal["pod", "alike", "demand", "account", "namespace"]
"""Which pods are refused now: ``pod``: only this one; ``alike``: those that ask for the same; ``demand``: those that
ask for as much or more; ``account``: those of the same service account; ``namespace``: all of the namespace."""

DEFAULT_PATIENCE_SECONDS = 120.0
MISSING_NAMESPACE_SECONDS = 15.0  # an unknown name is more often misspelt than new

_TOO_LARGE = "request is too large"  # etcd's limit comes as a 500
# Admission that cannot decide yet answers 403; only the message tells.
_NOT_YET = (
    "not yet ready to handle request",
    "status unknown for quota",
    "caches not synchronized",
    "no api token found for service account",
)


@dataclass(frozen=True)
class Refusal:
    """What to do about a failed creation.

    :ivar reason: text for the user (``reject``) or for the record (``retry``).
    :ivar retry_after_seconds: how long the server asked to wait, 0 if it did not.
    :ivar concerns: which other pods are refused for the same cause.
    :ivar exceeded: the amount of each resource that was too much (``demand``).
    :ivar most_seconds: how long to try again, None for as long as the workload is valid.
    """

    action: Action
    reason: str = ""
    retry_after_seconds: float = 0.0
    concerns: Concerns = "pod"
    exceeded: Mapping[str, Decimal] = field(default_factory=dict)
    most_seconds: float | None = None

    @property
    def cause(self) -> str:
        """The cause in one word, to count by: quota, account, namespace, busy, or error (of one pod only)."""
        if self.exceeded:
            return "quota"
        return {"pod": "error", "alike": "busy", "demand": "quota"}.get(self.concerns, self.concerns)


def judge_create_error(error: KubeError, *, patience_seconds: float = DEFAULT_PATIENCE_SECONDS) -> Refusal:
    """Return what a failed creation of a pod means.

    ``exists``: a pod of that name exists. Names are made from attempt and launch, so it is most likely ours.

    :param patience_seconds: how long to try again after an error that may be temporary or permanent.
    """
    words = str(error).lower()
    if error.status == 409 and error.reason == "AlreadyExists":
        return Refusal("exists", "The pod exists already.")
    if error.status >= 500 and _TOO_LARGE in words:
        return Refusal("reject", f"The pod is too large for the cluster: make executor_config smaller. {error}")
    if error.status == 403:
        return _judge_forbidden(error, words, patience_seconds)
    if error.status == 404:
        return Refusal(
            "retry",
            "The namespace does not exist: create it, or correct the namespace in [kubernetes_executor], profile or "
            f"executor_config. {error}",
            concerns="namespace",
            most_seconds=min(MISSING_NAMESPACE_SECONDS, patience_seconds),
        )
    if error.status in (401, 429) or error.status >= 500:
        return Refusal("retry", str(error), _retry_after(error), concerns="alike")
    if isinstance(error, KubeUnavailable) or error.status in (0, 408, 409, 410):
        return Refusal("retry", str(error), _retry_after(error))
    return Refusal("reject", _advice(error))


def missing_attach_right(*, patience_seconds: float) -> Refusal:
    """Return what follows where a pod could be created, and could not get its workload."""
    return Refusal(
        "retry",
        "[hybrid_executor] pod_token = stdin needs a right that the agent does not have: give its service account the "
        "verbs get and create on pods/attach (workers/manifests/warm-pods/rbac.yaml).",
        concerns="namespace",
        most_seconds=patience_seconds,
    )


def _judge_forbidden(error: KubeError, words: str, patience_seconds: float) -> Refusal:
    quota = read_quota_refusal(str(error))
    if quota is not None:
        return _judge_quota(error, quota)
    if "because it is being terminated" in words or "namespaceterminating" in words:
        return Refusal("retry", f"The namespace is being deleted: {error}", _retry_after(error), concerns="namespace")
    if any(text in words for text in _NOT_YET):
        return Refusal("retry", str(error), _retry_after(error), concerns="alike")
    if "serviceaccount" in words and "not found" in words:
        return Refusal(
            "retry",
            f"The pod's service account does not exist: create it, or correct serviceAccountName. {error}",
            concerns="account",
            most_seconds=patience_seconds,
        )
    if "cannot create resource" in words:
        return Refusal(
            "retry",
            f"Give the agent's service account the right to create pods. {error}",
            concerns="namespace",
            most_seconds=patience_seconds,
        )
    if "failed quota" in words:
        return Refusal("reject", f"The namespace's quota needs requests or limits that the pod does not set. {error}")
    return Refusal("reject", f"The cluster's admission refused the pod. {error}")


def _judge_quota(error: KubeError, quota: QuotaRefusal) -> Refusal:
    if quota.never_fits:
        names = ", ".join(quota.never_fits)
        return Refusal(
            "reject",
            f"The pod asks for more {names} than quota {quota.name} allows for the whole namespace: ask for less in "
            f"executor_config, profile or template, or raise the quota. {error}",
        )
    return Refusal(
        "retry",
        f"Waiting for quota: {quota.words}",
        _retry_after(error),
        concerns="demand" if quota.requested else "alike",
        exceeded=quota.requested,
    )


def _advice(error: KubeError) -> str:
    if error.status == 413:
        return f"The pod is too large for the cluster: make executor_config smaller. {error}"
    return f"The cluster refused the pod: fix its template, profile or executor_config. {error}"


def _retry_after(error: KubeError) -> float:
    return error.retry_after_seconds if isinstance(error, KubeUnavailable) else 0.0
