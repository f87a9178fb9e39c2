"""Kubernetes APIs under test: the sandbox, and a real cluster where ``KUBECONFIG`` names one.

What the tests need of a cluster: rights to make and delete namespaces and pods in them. No image is needed but the one
that ``HYBRID_TEST_IMAGE`` names, which has a shell. Where no kubelet is to be had, the tests drive the status of pods
themselves: such pods ask for more than any node has, so that no kubelet ever takes one.

Nothing is left behind: each namespace that a test makes ends with it, however the test ends.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.transport import Transport
from hybrid_executor.sandbox.server import SandboxServer
from tests.waiting import wait_until

ANY_IMAGE = "example.invalid/airflow:1"
UNSCHEDULABLE = {"requests": {"cpu": "100000"}}
STARTED = "2026-11-22T10:00:00Z"


@dataclass(frozen=True)
class Cluster:
    """One API server under test and a namespace of our own in it.

    :ivar image: one that kubelets there can run, with a shell.
    :ivar history_limit: how many changes a watch can look back, 0 where that is not known.
    """

    client: KubeClient
    transport: Transport
    namespace: str
    settings: KubernetesSettings
    image: str = ANY_IMAGE
    history_limit: int = 0

    def create(self, name: str, **labels: str) -> dict[str, Any]:
        """Create a pod that no kubelet takes."""
        return self.client.create_pod(self.namespace, pod(name, **labels))

    def run(self, name: str, *command: str, **labels: str) -> dict[str, Any]:
        """Create a pod that runs ``command``."""
        return self.client.create_pod(self.namespace, pod(name, list(command), image=self.image, **labels))

    def set_status(self, name: str, status: Mapping[str, Any], *, namespace: str = "") -> None:
        """Write a pod's status, as its kubelet does."""
        self.transport.call(
            "PATCH",
            f"/api/v1/namespaces/{namespace or self.namespace}/pods/{name}/status",
            doing="patch status",
            body={"status": status},
            content_type="application/merge-patch+json",
        )

    def limit(self, **hard: str) -> None:
        """Make the quota ``q`` of the namespace, and return when it is counted: before that nothing is refused."""
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
        path = f"/api/v1/namespaces/{self.namespace}/resourcequotas"
        self.transport.call("POST", path, doing="create quota", body=quota)
        until(lambda: (self._read(f"{path}/q").get("status") or {}).get("used", {}).keys() >= hard.keys())

    def unlimit(self) -> None:
        """Remove the quota."""
        path = f"/api/v1/namespaces/{self.namespace}/resourcequotas/q"
        self.transport.call("DELETE", path, doing="delete quota")

    def _read(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.transport.call("GET", path, doing="read"))
        return found


def pod(name: str, command: list[str] | None = None, *, image: str = ANY_IMAGE, **labels: str) -> dict[str, Any]:
    """Return a pod; without a command one that no kubelet takes."""
    container: dict[str, Any] = {"name": "base", "image": image}
    container.update({"command": command} if command else {"resources": UNSCHEDULABLE})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"suite": "hybrid", **labels}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]},
    }


def container_status(name: str = "base", *, image: str = ANY_IMAGE, **state: Any) -> dict[str, Any]:
    """Return a container's status as a kubelet writes it; ``running={}``, ``terminated={...}`` or ``waiting={...}``."""
    (kind, told) = next(iter(state.items()))
    started = {"startedAt": STARTED} if kind != "waiting" else {}
    return {
        "name": name,
        "image": image,
        "imageID": "",
        "ready": kind == "running",
        "restartCount": 0,
        "state": {kind: {**started, **told}},
    }


def status(phase: str, *containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a pod's status as a kubelet writes it."""
    return {"phase": phase, "containerStatuses": list(containers), "startTime": STARTED, **more}


@contextmanager
def namespace_in(settings: KubernetesSettings, *, image: str = ANY_IMAGE, history_limit: int = 0) -> Iterator[Cluster]:
    """Connect, and make a namespace that is gone at the end."""
    client = connect(settings)
    name = f"hybrid-{uuid.uuid4().hex[:10]}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    client.transport.call("POST", "/api/v1/namespaces", doing="create namespace", body=namespace)
    try:
        cluster = Cluster(client, client.transport, name, settings, image, history_limit)
        until(lambda: takes_pods(cluster))
        yield cluster
    finally:
        try:
            end_namespace(client, name)
        finally:
            client.close()


def end_namespace(client: KubeClient, name: str) -> None:
    """Delete a namespace, and wait until it is gone where there is somebody to end it; errors are tried again."""
    has_controllers = _answers(client, "GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")
    until(lambda: _is_emptied(client, name), seconds=60)
    until(lambda: _answers(client, "DELETE", f"/api/v1/namespaces/{name}", also=(404, 409)), seconds=60)
    if has_controllers:
        until(lambda: not _answers(client, "GET", f"/api/v1/namespaces/{name}"), seconds=180)


def _is_emptied(client: KubeClient, name: str) -> bool:
    """Remove the pods of a namespace; return whether there are none."""
    try:
        pods = client.list_pods(name, "").items
        for found in pods:
            client.delete_pod(name, found["metadata"]["name"], grace_period_seconds=0)
    except KubeError:
        return False
    return not pods


def _answers(client: KubeClient, method: str, path: str, *, also: tuple[int, ...] = ()) -> bool:
    """Return whether the API agrees; a server that does not answer is asked again."""

    def ask() -> int:
        try:
            client.transport.call(method, path, doing=f"{method} {path}")
        except KubeError as error:
            return error.status if 400 <= error.status < 500 else 0
        return 200

    return until(ask, seconds=60) in (200, *also)


def takes_pods(cluster: Cluster) -> bool:
    """Return whether a new namespace has its service account yet, without which real clusters refuse pods.

    Before Kubernetes 1.24 the account also needs a token, and the refusal is 500.
    """
    try:
        cluster.create("first")
    except KubeError as error:
        if error.status in (403, 500) and "serviceaccount" in str(error).replace(" ", ""):
            return False
        raise
    return cluster.client.delete_pod(cluster.namespace, "first", grace_period_seconds=0)


@contextmanager
def sandbox(tmp: Path, *, runs_pods: bool) -> Iterator[Cluster]:
    """Start a sandbox."""
    limit = 100
    with SandboxServer(runs_pods=runs_pods, bookmark_seconds=0.2, history_limit=limit) as server:
        file = tmp / "kubeconfig"
        server.write_kubeconfig(file)
        settings = KubernetesSettings(in_cluster=False, config_file=str(file), pod_creation_max_concurrency=32)
        with namespace_in(settings, history_limit=limit) as cluster:
            yield cluster


@contextmanager
def real(*, needs_kubelet: bool) -> Iterator[Cluster]:
    """Connect to the cluster of ``KUBECONFIG``; skips, saying why, where there is none or it lacks what is needed."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    image = os.environ.get("HYBRID_TEST_IMAGE", "")
    if needs_kubelet and not image:
        pytest.skip("HYBRID_TEST_IMAGE names no image to run on the cluster of KUBECONFIG")
    with namespace_in(KubernetesSettings(in_cluster=False), image=image or ANY_IMAGE) as cluster:
        if needs_kubelet and not runs_pods(cluster):
            pytest.skip("the cluster of KUBECONFIG has no kubelet that starts pods")
        yield cluster


def runs_pods(cluster: Cluster, *, seconds: float = 180.0) -> bool:
    """Return whether a pod of the image starts in time; without any kubelet or scheduler, nobody even looks at it."""
    cluster.run("probe", "true")
    ends_at = time.monotonic() + seconds
    ignored_until = time.monotonic() + 30
    while time.monotonic() < ends_at:
        found = cluster.client.get_pod(cluster.namespace, "probe")
        if found["status"].get("phase") in ("Running", "Succeeded", "Failed"):
            return True
        if not found["status"].get("conditions") and time.monotonic() > ignored_until:
            return False
        time.sleep(0.05)
    return False


def refusal(call: Callable[[], object]) -> KubeError:
    """Return the error that a call raises."""
    with pytest.raises(KubeError) as caught:
        call()
    return caught.value


def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """Return the condition's first true value."""
    return wait_until(condition, seconds=seconds)
