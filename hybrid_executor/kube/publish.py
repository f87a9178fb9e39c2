"""What an error of a pod's creation means: done already, again later, or never.

Pure. Promises: only what this very pod, or the right to create it, is to blame for fails the task; busy, full, closing
or unreachable clusters and expired credentials are waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hybrid_executor.errors import KubeError, KubeUnavailable

Action = Literal["exists", "retry", "reject"]

BASE_SECONDS = 1.0
MAX_SECONDS = 60.0

_TOO_LARGE = "request is too large"  # etcd's limit comes as a 500
# Admission that could not decide yet answers 403, in words only.
_NOT_YET = (
    "not yet ready to handle request",
    "status unknown for quota",
    "caches not synchronized",
    "no api token found for service account",
    # A new namespace gets it a moment after it was made; no other account is made by the cluster itself.
    'serviceaccount "default" not found',
)


@dataclass(frozen=True)
class Verdict:
    """What to do about a failed creation.

    :ivar reason: words for the user (``reject``) or for the record (``retry``).
    :ivar retry_after_seconds: how long the server asked to wait, 0 where it did not say.
    :ivar closes_namespace: nothing else can be created in this namespace now either; others are not concerned.
    """

    action: Action
    reason: str = ""
    retry_after_seconds: float = 0.0
    closes_namespace: bool = False


def judge_create_error(error: KubeError) -> Verdict:
    """Return what a failed creation of a pod means.

    ``exists``: a pod of that name is there. Names are made from attempt and launch, so it is the one that was wanted.
    """
    words = str(error).lower()
    if error.status == 409 and error.reason == "AlreadyExists":
        return Verdict("exists", "The pod exists already.")
    if error.status >= 500 and _TOO_LARGE in words:
        return Verdict("reject", f"The pod is too large for the cluster: make executor_config smaller. {error}")
    if error.status == 403:
        return _judge_forbidden(error, words)
    if isinstance(error, KubeUnavailable) or error.status in (0, 401, 408, 409, 410, 429) or error.status >= 500:
        return Verdict("retry", str(error), retry_after_seconds=_retry_after(error))
    return Verdict("reject", _advice(error))


def backoff_seconds(attempt: int, *, jitter: float, retry_after: float = 0.0) -> float:
    """Return how long to wait before the next try: doubling from 1 s to 60 s, never under what the server asked for.

    :param attempt: failures so far, from 1.
    :param jitter: from 0 to 1, random; spreads callers over the upper half of the delay.
    """
    delay = min(MAX_SECONDS, BASE_SECONDS * 2.0 ** min(max(attempt, 1) - 1, 10))
    asked_for = retry_after + jitter if retry_after > 0 else 0.0
    return max(asked_for, delay * (0.5 + jitter / 2))


def _judge_forbidden(error: KubeError, words: str) -> Verdict:
    if "exceeded quota" in words:
        return Verdict("retry", f"Waiting for quota: {error}", _retry_after(error), closes_namespace=True)
    if "because it is being terminated" in words or "namespaceterminating" in words:
        return Verdict("retry", f"The namespace is being deleted: {error}", _retry_after(error), closes_namespace=True)
    if any(text in words for text in _NOT_YET):
        return Verdict("retry", str(error), _retry_after(error))
    if "cannot create resource" in words:
        return Verdict("reject", f"Give the agent's service account the right to create pods. {error}")
    if "failed quota" in words:
        return Verdict("reject", f"The namespace's quota wants requests or limits that the pod does not set. {error}")
    return Verdict("reject", f"The cluster's admission refused the pod. {error}")


def _advice(error: KubeError) -> str:
    if error.status == 404:
        return f"The namespace does not exist: create it, or mend [kubernetes_executor] namespace or profile. {error}"
    if error.status == 413:
        return f"The pod is too large for the cluster: make executor_config smaller. {error}"
    return f"The cluster refused the pod: mend its template, profile or executor_config. {error}"


def _retry_after(error: KubeError) -> float:
    return error.retry_after_seconds if isinstance(error, KubeUnavailable) else 0.0
