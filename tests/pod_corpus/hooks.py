"""Mutation hooks of the corpus; used with our pods and with upstream's."""

from __future__ import annotations

from typing import Any


def add_sidecar_first(pod: Any) -> None:
    from kubernetes.client import V1Container

    pod.spec.containers.insert(0, V1Container(name="mesh", image="mesh:1"))


def set_everything(pod: Any) -> None:
    from kubernetes.client import V1EnvVar

    pod.metadata.labels["team"] = "blue"
    pod.metadata.annotations = {**pod.metadata.annotations, "seen": "yes"}
    pod.spec.hostname = None
    pod.spec.node_selector = {"pool": "tasks"}
    pod.spec.containers[0].env.append(V1EnvVar(name="HOOK", value="1"))


def restart_always(pod: Any) -> None:
    pod.spec.restart_policy = "Always"
