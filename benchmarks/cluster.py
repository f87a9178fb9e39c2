"""The Kubernetes API that both sides create pods in, as the benchmark sees it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.client import KubeClient, connect

NAMESPACE = "default"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.02

# No node has so much, so that no kubelet takes such a pod: nothing is measured but the creation.
TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  containers:
  - name: base
    image: example.invalid/airflow:1
    resources: {requests: {cpu: "100000"}}
"""


class Cluster:
    """One namespace of one API server.

    :param kubeconfig: file that says where it is.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._settings = KubernetesSettings(in_cluster=False, config_file=str(kubeconfig))
        self._client = self._connect()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def count(self) -> int:
        """Return how many pods there are."""
        found = json.loads(self._client.transport.call("GET", _PODS, doing="count pods", query={"limit": "1"}))
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    def pods(self) -> list[dict[str, Any]]:
        """Return all pods."""
        found: list[dict[str, Any]] = self._client.list_pods(NAMESPACE, "").items
        return found

    def wait_for(self, count: int) -> list[tuple[float, int]]:
        """Return when there are so many pods, with the seconds and numbers that were seen on the way.

        :raises RuntimeError: there are not within some minutes.
        """
        began = time.monotonic()
        seen = []
        while True:
            there = self.count()
            seen.append((round(time.monotonic() - began, 3), there))
            if there == count:
                return seen
            if time.monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"{there} pods where {count} were expected")
            time.sleep(_LOOK_SECONDS)

    def clear(self) -> None:
        """Delete all pods."""
        for pod in self.pods():
            self._client.delete_pod(NAMESPACE, pod["metadata"]["name"], grace_period_seconds=0)
        self.wait_for(0)

    def set_phase(self, name: str, phase: str, state: dict[str, Any]) -> None:
        """Write a pod's status as its kubelet does."""
        container = {"name": "base", "image": "example.invalid/airflow:1", "imageID": "", "restartCount": 0}
        status = {"phase": phase, "containerStatuses": [{**container, "ready": phase == "Running", "state": state}]}
        self._client.transport.call(
            "PATCH",
            f"{_PODS}/{name}/status",
            doing="patch status",
            body={"status": status},
            content_type="application/merge-patch+json",
        )

    def create_as_fast_as_possible(self, pod: dict[str, Any], *, count: int, threads: int = 8) -> float:
        """Create copies of a pod in several threads; return the seconds."""
        base = {key: value for key, value in pod["metadata"].items() if key in ("labels", "annotations")}
        spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
        same = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
        bodies = [{**same, "metadata": {**base, "name": f"limit-{number}"}} for number in range(count)]
        clients = [self._connect() for _ in range(threads)]

        def create(index: int) -> None:
            for body in bodies[index::threads]:
                clients[index].transport.call("POST", _PODS, doing="create", body=body)

        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(create, range(threads)))
        seconds = time.perf_counter() - began
        for client in clients:
            client.close()
        return seconds

    def _connect(self) -> KubeClient:
        return connect(self._settings)
