"""The documented ``executor_config={"KubernetesExecutor": {...}}`` of Airflow 1.10 and 2, turned into a partial pod.

Pure. One table says what each key does; a key that is not in it, or a value of the wrong type, is a TaskRejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from hybrid_executor.config.kubernetes import camel_case
from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.merge import merge_pods
from hybrid_executor.kube.plain import json_like
from hybrid_executor.kube.secrets import env_of_secret, is_env_secret, volume_of_secret

KEY = "KubernetesExecutor"
BASE = "base"
Partial = dict[str, Any]


def pod_of_legacy(settings: object) -> Partial:
    """Return the partial pod that the legacy dict describes; its container is named ``base``.

    :raises TaskRejected: an unknown key (with the nearest known one) or a wrong type.
    """
    if not isinstance(settings, Mapping):
        raise TaskRejected(f"executor_config[{KEY!r}] is {type(settings).__name__}: write a dict.")
    pod: Partial = {}
    for key, value in settings.items():
        write = _WRITERS.get(str(key))
        if write is None:
            raise TaskRejected(_unknown(str(key)))
        if value is not None:
            pod = _join(pod, write(value, _where(str(key))))
    return pod


def _join(pod: Partial, part: Partial) -> Partial:
    """Return both parts; unlike in a merge of pods, cpu and memory that were given one by one add up."""
    joined = merge_pods(pod, part)
    amounts = [
        container["resources"]
        for source in (pod, part)
        for container in source.get("spec", {}).get("containers", ())
        if "resources" in container
    ]
    if len(amounts) == 2:
        first, second = amounts
        kinds = {kind: {**first.get(kind, {}), **second.get(kind, {})} for kind in {**first, **second}}
        joined = merge_pods(joined, _container({"resources": kinds}))
    return joined


def _where(key: str) -> str:
    return f"executor_config[{KEY!r}][{key!r}]"


def _unknown(key: str) -> str:
    near = get_close_matches(key, _WRITERS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else " Anything else can be set with 'pod_override'."
    return f"executor_config[{KEY!r}] has no key {key!r}.{hint} Known keys: {', '.join(sorted(_WRITERS))}."


def _wrong(value: object, where: str, expected: str) -> TaskRejected:
    return TaskRejected(f"{where} is {type(value).__name__}: write {expected}.")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(value, where, "text that is not empty")
    return value


def _quantity(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(value, where, "a quantity such as '500m' or '2Gi'")
    return str(value)


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "True or False")
    return value


def _mapping(value: object, where: str) -> dict[str, Any]:
    plain = json_like(value, where=where)
    if not isinstance(plain, dict):
        raise _wrong(value, where, "a dict")
    return plain


def _texts(value: object, where: str) -> dict[str, str]:
    """Return a mapping of labels or the like; numbers become text, since the API takes nothing else there."""
    return {key: item if isinstance(item, str) else str(item) for key, item in _mapping(value, where).items()}


def _mappings(value: object, where: str) -> list[dict[str, Any]]:
    plain = json_like(value, where=where)
    if not isinstance(plain, list) or not all(isinstance(item, dict) for item in plain):
        raise _wrong(value, where, "a list of dicts")
    return [{camel_case(key): item for key, item in entry.items()} for entry in plain]


def _env(value: object, where: str) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):
        return [{"name": name, "value": text} for name, text in _texts(value, where).items()]
    entries = _mappings(value, where)
    if not all(entry.get("name") for entry in entries):
        raise TaskRejected(f"{where}: each entry needs a 'name': write a dict of names and values.")
    return entries


def _pull_secrets(value: object, where: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"name": name.strip()} for name in value.split(",") if name.strip()]
    plain = json_like(value, where=where)
    if isinstance(plain, list) and all(isinstance(item, str) for item in plain):
        return [{"name": item} for item in plain]
    return _mappings(value, where)


def _config_maps(value: object, where: str) -> list[dict[str, Any]]:
    names = json_like(value, where=where)
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(value, where, "a list of names of config maps")
    return [{"configMapRef": {"name": name}} for name in names]


def _resources(value: object, where: str) -> dict[str, Any]:
    resources = _mapping(value, where)
    for name, amounts in resources.items():
        if name not in ("requests", "limits", "claims"):
            raise TaskRejected(f"{where} has no key {name!r}: write requests and limits.")
        if name != "claims":
            resources[name] = {
                key: _quantity(item, f"{where}[{name!r}]") for key, item in _mapping(amounts, where).items()
            }
    return resources


def _secrets(value: object, where: str) -> Partial:
    if not isinstance(value, list | tuple):
        raise _wrong(value, where, "a list of secrets")
    pod: Partial = {}
    for place, secret in enumerate(value):
        here = f"{where}[{place}]"
        if is_env_secret(secret, where=here):
            part = _container(env_of_secret(secret, where=here))
        else:
            volume, mount = volume_of_secret(secret, where=here)
            part = merge_pods({"spec": {"volumes": [volume]}}, _container({"volumeMounts": [mount]}))
        pod = merge_pods(pod, part)
    return pod


def _container(fields: Mapping[str, Any]) -> Partial:
    return {"spec": {"containers": [{"name": BASE, **fields}]}}


Writer = Callable[[object, str], Partial]


def _in_metadata(field: str, read: Callable[[object, str], Any]) -> Writer:
    return lambda value, where: {"metadata": {field: read(value, where)}}


def _in_spec(field: str, read: Callable[[object, str], Any]) -> Writer:
    return lambda value, where: {"spec": {field: read(value, where)}}


def _in_container(field: str, read: Callable[[object, str], Any]) -> Writer:
    return lambda value, where: _container({field: read(value, where)})


def _amount(kind: str, resource: str) -> Writer:
    return lambda value, where: _container({"resources": {kind: {resource: _quantity(value, where)}}})


_WRITERS: dict[str, Writer] = {
    "namespace": _in_metadata("namespace", _text),
    "labels": _in_metadata("labels", _texts),
    "annotations": _in_metadata("annotations", _texts),
    "image": _in_container("image", _text),
    "image_pull_policy": _in_container("imagePullPolicy", _text),
    "image_pull_secrets": _in_spec("imagePullSecrets", _pull_secrets),
    "resources": _in_container("resources", _resources),
    "request_cpu": _amount("requests", "cpu"),
    "request_memory": _amount("requests", "memory"),
    "limit_cpu": _amount("limits", "cpu"),
    "limit_memory": _amount("limits", "memory"),
    "limit_gpu": _amount("limits", "nvidia.com/gpu"),
    "request_ephemeral_storage": _amount("requests", "ephemeral-storage"),
    "limit_ephemeral_storage": _amount("limits", "ephemeral-storage"),
    "env_vars": _in_container("env", _env),
    "envs": _in_container("env", _env),
    "configmaps": _in_container("envFrom", _config_maps),
    "secrets": _secrets,
    "ports": _in_container("ports", _mappings),
    "volumes": _in_spec("volumes", _mappings),
    "volume_mounts": _in_container("volumeMounts", _mappings),
    "node_selector": _in_spec("nodeSelector", _texts),
    "node_selectors": _in_spec("nodeSelector", _texts),
    "affinity": _in_spec("affinity", _mapping),
    "tolerations": _in_spec("tolerations", _mappings),
    "init_containers": _in_spec("initContainers", _mappings),
    "security_context": _in_spec("securityContext", _mapping),
    "service_account_name": _in_spec("serviceAccountName", _text),
    "priority_class_name": _in_spec("priorityClassName", _text),
    "hostnetwork": _in_spec("hostNetwork", _flag),
    "dnspolicy": _in_spec("dnsPolicy", _text),
    "schedulername": _in_spec("schedulerName", _text),
    "restart_policy": _in_spec("restartPolicy", _text),
}
