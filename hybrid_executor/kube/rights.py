"""The rights that agents use, and two ways to find out which of them an account has. Changes nothing in the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_NOBODY = "hybrid-executor-doctor-no-such-pod"
_WATCH_SECONDS = 1
_ASK_AGAIN_SECONDS = 60.0
_ASK_WITHOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Right:
    """One verb on one resource of the core group; a subresource is written behind a slash."""

    verb: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


AGENT_RIGHTS = (
    *(Right(verb, "pods") for verb in ("create", "get", "list", "watch", "patch", "delete")),
    Right("get", "pods/log"),
    Right("list", "events"),
)
"""All that agents do, and the API server with the logs of running pods; the same as in workers/manifests/rbac.yaml."""

ATTACH_RIGHTS = (Right("get", "pods/attach"), Right("create", "pods/attach"))
"""What agents need besides where they hand workloads over to pods. Before Kubernetes 1.35 "get" is enough."""
HOW_TO_GRANT_ATTACH = (
    "grant the agent's account the verbs get and create on pods/attach (workers/manifests/warm-pods/rbac.yaml)"
)


class AttachRight:
    """Whether an account may hand workloads over to pods. Safe for threads.

    Each namespace is asked for once a minute, and more often while the right is missing: somebody may just grant it.
    """

    def __init__(self, client: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    def is_granted(self, namespace: str) -> bool:
        """Return whether it may, as far as is known; an account that may not ask finds out by its first try.

        :raises KubeError: the API could not be asked.
        """
        asked_at, is_granted = self._known.get(namespace, (float("-inf"), True))
        if self._clock() - asked_at < (_ASK_AGAIN_SECONDS if is_granted else _ASK_WITHOUT_SECONDS):
            return is_granted
        try:
            is_granted = all(review(self._client, right, namespace) for right in ATTACH_RIGHTS)
        except KubeError as error:
            if error.status != 403:
                raise
            is_granted = True
        self._known[namespace] = (self._clock(), is_granted)
        return is_granted


def review(client: KubeClient, right: Right, namespace: str | None) -> bool:
    """Ask the API whether this account has a right in a namespace (``None``: in all).

    :raises KubeError: it could not be asked; status 403 where accounts may not ask.
    """
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": "", "resource": resource, "namespace": namespace or ""}
    if subresource:
        attributes["subresource"] = subresource
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = client.ask("POST", _REVIEWS, doing=f"review the right to {right}", body=body)
    return bool((answer.get("status") or {}).get("allowed"))


def attempt(client: KubeClient, right: Right, namespace: str | None) -> bool:
    """Use a right without an effect, where it cannot be asked for; return whether that was allowed.

    Lists ask for one entry, a watch ends at once, a pod is created as a dry run, and a pod with a name that does not
    exist is read, changed and deleted.

    :raises KubeError: the API did not answer, or failed.
    """
    try:
        _use(client, right, namespace)
    except KubeError as error:
        if error.status == 403:
            return f"cannot {right.verb} resource" not in str(error)  # else a quota, or an admission, has refused
        if error.status in (400, 404, 409, 422):  # the right was there, the object was not
            return True
        raise
    return True


def _use(client: KubeClient, right: Right, namespace: str | None) -> None:
    place = namespace or "default"
    doing = f"try to {right}"
    pods = "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{quote(place, safe='')}/pods"
    if right.resource == "events":
        events = pods.removesuffix("pods") + "events"
        client.ask("GET", events, doing=doing, query={"limit": "1"})
    elif right.resource == "pods/attach":
        client.write_line(place, _NOBODY, container="base", line="", is_answer=bool, seconds=_WATCH_SECONDS)
    elif right.resource == "pods/log":
        client.read_pod_log(place, _NOBODY, container="base", tail_lines=1, seconds=_WATCH_SECONDS)
    elif right.verb == "list":
        client.ask("GET", pods, doing=doing, query={"limit": "1"})
    elif right.verb == "watch":
        client.watch_pods(namespace, "", "0", silence_seconds=5.0, timeout_seconds=_WATCH_SECONDS).stop()
    elif right.verb == "create":
        client.dry_run_pod(place, _pod(place))
    elif right.verb == "get":
        client.get_pod(place, _NOBODY)
    elif right.verb == "patch":
        client.patch_pod(place, _NOBODY, {"metadata": {"labels": {"any": "any"}}})
    else:
        client.delete_pod(place, _NOBODY)


def _pod(namespace: str) -> dict[str, Any]:
    container = {"name": "base", "image": "hybrid-executor-doctor"}
    metadata = {"name": _NOBODY, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
