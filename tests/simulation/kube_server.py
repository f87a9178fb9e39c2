"""A Kubernetes API server in memory: the sandbox's own objects, rules and history, without HTTP.

It answers the requests that the agent makes, as :mod:`hybrid_executor.sandbox` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.listing import list_objects
from hybrid_executor.sandbox.logs import log_query, restart_to_read
from hybrid_executor.sandbox.objects import NAMESPACES, PODS, QUOTAS
from hybrid_executor.sandbox.pods import Pods
from hybrid_executor.sandbox.queries import (
    Selection,
    apply_patch,
    deletion_of,
    list_query,
    selection_of,
)
from hybrid_executor.sandbox.status import StatusError, bad_request, forbidden, no_such_path
from hybrid_executor.sandbox.watching import event_type
from tests.simulation.pod_program import PodProgram

_PATH = re.compile(r"/api/v1(?:/namespaces/([^/]+))?/(pods|events)(?:/([^/]+)(/log)?)?$")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_QUOTA = "few-pods"
encode = msgspec.json.encode


class KubeServer:
    """One cluster.

    :ivar may_attach: agents have the right to attach to pods.
    :ivar programs: by the name of each pod on the node, the program that waits for its workload; None where there is no
        such program, or its container does not run yet.
    :ivar is_late: the request that is done now was sent long ago.
    """

    def __init__(self, namespace: str) -> None:
        self.cluster = Cluster(namespaces=("default",) if namespace == "default" else ("default", namespace))
        self.pods = Pods(self.cluster)
        self.namespace = namespace
        self.may_attach = True
        self.programs: dict[str, PodProgram | None] = {}
        self.is_late = False

    def call(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> bytes:
        """Answer a request.

        :raises StatusError: it is refused.
        """
        if path == _REVIEWS:
            return encode({"status": {"allowed": self.may_attach}})
        found = _PATH.match(path)
        if found is None:
            raise no_such_path()
        namespace, plural, name, is_log = found.groups()
        if is_log:
            return self._log(namespace or "", name, query)
        if plural == "events":
            return encode({"items": []})
        return encode(self._answer(method, namespace, name, query, body, content_type))

    def _answer(
        self, method: str, namespace: str | None, name: str | None, query: Mapping[str, str], body: Any, patch_type: str
    ) -> Any:
        cluster, pods = self.cluster, self.pods
        if name is None and method == "GET":
            return list_objects(cluster, list_query(self.selection(namespace, query), query), metadata_only=False)
        if method == "POST":
            return PODS.typed(pods.create(namespace or "", body)[0])
        pod = cluster.get(PODS, namespace or "", name or "")
        if method == "PATCH":
            return PODS.typed(pods.update(pod, apply_patch(patch_type, PODS.typed(pod), body)))
        if method == "DELETE":
            return PODS.typed(pods.delete(namespace or "", name or "", deletion_of(query, body)))
        return PODS.typed(pod)

    def _log(self, namespace: str, name: str, query: Mapping[str, str]) -> bytes:
        """Return what a pod has printed."""
        pod = self.cluster.get(PODS, namespace, name)
        restart_to_read(pod, log_query(pod, query))
        program = self.programs.get(name)
        return "".join(f"{line}\n" for line in program.printed).encode() if program is not None else b""

    def attach(self, namespace: str, name: str) -> PodProgram | None:
        """Attach to a pod; return None where nothing runs that reads a line.

        :raises StatusError: 400, 403 or 404.
        """
        pod = self.cluster.get(PODS, namespace, name)
        if not self.may_attach:
            raise forbidden(PODS, name, 'User "agent" cannot create resource "pods/attach"')
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {name} does not have a host assigned")
        program = self.programs.get(name)
        return program if program is not None and program.attach() else None

    @staticmethod
    def selection(namespace: str | None, query: Mapping[str, str]) -> Selection:
        """Return which pods a request means."""
        return selection_of(PODS, namespace, query)

    def all_pods(self) -> list[dict[str, Any]]:
        """Return all pods."""
        return self.cluster.select(PODS)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call the listener with each change from now on."""
        self.cluster.listen(listener)

    def changes_after(self, version: int) -> list[Change]:
        """Return what happened to pods since.

        :raises StatusError: 410, it is forgotten.
        """
        return self.cluster.changes_after(PODS, version)

    def limit_pods(self, count: int | None) -> None:
        """Let a quota allow so many pods from now on; None for any number."""
        if self.cluster.find(QUOTAS, self.namespace, _QUOTA) is not None:
            self.cluster.remove(QUOTAS, self.namespace, _QUOTA)
        if count is not None:
            metadata = {"name": _QUOTA, "namespace": self.namespace}
            self.cluster.create(QUOTAS, {"metadata": metadata, "spec": {"hard": {"pods": str(count)}}, "status": {}})

    def forget_history(self) -> None:
        """Answer 410 to watches that resume from a version before now."""
        self.cluster.create(NAMESPACES, {"metadata": {"name": f"other-{self.cluster.version}"}, "status": {}})
        self.cluster.compact()


def event_line(change: Change, selection: Selection) -> bytes:
    """Return what a watch sends about a change, b"" for nothing."""
    kind = event_type(change, selection)
    if not kind:
        return b""
    state = change.state
    if kind == "DELETED" and change.after is not None and change.before is not None:
        metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
        state = {**change.before, "metadata": metadata}
    return encode({"type": kind, "object": PODS.typed(state)})


def refusal_line(error: StatusError) -> bytes:
    """Return a refusal as the last event of a watch."""
    return encode({"type": "ERROR", "object": error.body()})
