"""The defaults that the API fills in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hybrid_executor.sandbox.objects import Object

NODE_TROUBLE_TOLERATIONS = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]
"""Tolerations that admission adds to each pod which has none for these two."""

VOLUME_MODE = 420
"""Octal 0644: the mode of projected files."""


def default_pod_spec(spec: Object) -> Object:
    """Return the pod's spec with defaults."""
    filled: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        **spec,
    }
    for group in ("initContainers", "containers"):
        if filled.get(group):
            filled[group] = [_default_container(container) for container in filled[group]]
    if filled.get("volumes"):
        filled["volumes"] = [_default_volume(volume) for volume in filled["volumes"]]
    account = filled.get("serviceAccountName") or filled.get("serviceAccount")
    if account:
        filled["serviceAccountName"] = filled["serviceAccount"] = account
    filled["tolerations"] = [*(spec.get("tolerations") or []), *_missing_tolerations(spec)]
    return filled


def _default_container(container: Object) -> Object:
    filled: Object = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": _pull_policy(container.get("image", "")),
        **container,
        "resources": _default_resources(container.get("resources") or {}),
    }
    if filled.get("env"):
        filled["env"] = [_default_variable(variable) for variable in filled["env"]]
    if filled.get("ports"):
        filled["ports"] = [{"protocol": "TCP", **port} for port in filled["ports"]]
    return filled


def _default_resources(resources: Object) -> Object:
    limits = resources.get("limits") or {}
    if not limits:
        return resources
    return {**resources, "requests": {**limits, **(resources.get("requests") or {})}}


def _pull_policy(image: str) -> str:
    name = image.rpartition("/")[2]
    tag = name.partition(":")[2]
    is_latest = "@" not in name and tag in {"", "latest"}
    return "Always" if is_latest else "IfNotPresent"


def _default_variable(variable: Object) -> Object:
    field = (variable.get("valueFrom") or {}).get("fieldRef")
    if not field:
        return variable
    return {**variable, "valueFrom": {"fieldRef": {"apiVersion": "v1", **field}}}


def _default_volume(volume: Object) -> Object:
    filled = dict(volume)
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(filled.get(kind), dict):
            filled[kind] = {"defaultMode": VOLUME_MODE, **filled[kind]}
    if isinstance(filled.get("hostPath"), dict):
        filled["hostPath"] = {"type": "", **filled["hostPath"]}
    if set(filled) == {"name"}:
        filled["emptyDir"] = {}
    return filled


def _missing_tolerations(spec: Object) -> Iterator[Object]:
    present = {toleration.get("key") for toleration in spec.get("tolerations") or []}
    for toleration in NODE_TROUBLE_TOLERATIONS:
        if toleration["key"] not in present:
            yield toleration


def qos_class(spec: Object) -> str:
    """Return the pod's quality-of-service class."""
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    resources = [container.get("resources") or {} for container in containers]
    if not any(entry.get(kind) for entry in resources for kind in ("limits", "requests")):
        return "BestEffort"
    for entry in resources:
        limits, requests = entry.get("limits") or {}, entry.get("requests") or {}
        if not {"cpu", "memory"} <= set(limits):
            return "Burstable"
        if any(requests.get(name, limits[name]) != limits[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def default_pod_status(status: Object) -> Object:
    """Return the pod's status with the fields that the API always writes out."""
    filled = dict(status)
    for group in ("initContainerStatuses", "containerStatuses"):
        if filled.get(group):
            filled[group] = [_default_container_status(entry) for entry in filled[group]]
    return filled


def _default_container_status(entry: Object) -> Object:
    filled: dict[str, Any] = {"ready": False, "restartCount": 0, "image": "", "imageID": "", **entry}
    filled["state"] = _default_state(filled.get("state") or {})
    filled["lastState"] = _default_state(filled.get("lastState") or {})
    return filled


def _default_state(state: Object) -> Object:
    if isinstance(state.get("terminated"), dict):
        times = {"startedAt": None, "finishedAt": None}
        return {"terminated": {"exitCode": 0, **times, **state["terminated"]}}
    if isinstance(state.get("running"), dict):
        return {"running": {"startedAt": None, **state["running"]}}
    return state
