"""Finds suspicious fields in a template or a profile's pod: misspelt names and wrong types. Asks no server.

The results are warnings for people who start an agent. Nothing is refused because of them: the API server may be newer
than the installed models, and decides when a pod is created (or with ``airflow hybrid pod-yaml --check``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from hybrid_executor.kube.fitting import fit_pod

_LIST = re.compile(r"list\[(.+)\]\Z", re.IGNORECASE)
_DICT = re.compile(r"dict[(\[]str, (.+)[)\]]\Z", re.IGNORECASE)
_SCALARS: Mapping[str, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "a boolean"),
}


def findings_of_pod(pod: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a pod, partial or whole, each with its path."""
    found = list(_look(fit_pod(pod), "V1Pod", path=""))
    policy = (pod.get("spec") or {}).get("restartPolicy") if isinstance(pod.get("spec"), Mapping) else None
    if policy == "Always":
        found.append("spec.restartPolicy is Always, which would run an ended task again: Never is used instead")
    elif policy == "OnFailure":
        found.append("spec.restartPolicy is OnFailure, which starts a failed task's container again: write Never")
    return found


def _look(value: Any, kind: str, *, path: str) -> Iterator[str]:
    if value is None or kind in ("object", "datetime"):
        return
    if kind in _SCALARS:
        wanted, words = _SCALARS[kind]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            yield f"{path} is {_shape(value)}: write {words}"
    elif found := _LIST.match(kind):
        if not isinstance(value, list):
            yield f"{path} is {_shape(value)}: write a list"
            return
        for place, item in enumerate(value):
            yield from _look(item, found[1], path=f"{path}[{place}]")
    elif found := _DICT.match(kind):
        if not isinstance(value, Mapping):
            yield f"{path} is {_shape(value)}: write a mapping"
            return
        for key, item in value.items():
            yield from _look(item, found[1], path=f"{path}.{key}")
    else:
        yield from _look_at_model(value, kind, path=path)


def _look_at_model(value: Any, kind: str, *, path: str) -> Iterator[str]:
    from kubernetes import client

    model: Any = getattr(client, kind, None)
    if not hasattr(model, "openapi_types"):
        return
    if not isinstance(value, Mapping):
        yield f"{path} is {_shape(value)}: write a mapping"
        return
    kinds = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
    for name, item in value.items():
        where = f"{path}.{name}" if path else str(name)
        if name in kinds:
            yield from _look(item, kinds[name], path=where)
            continue
        near = get_close_matches(str(name), kinds, n=1)
        hint = f": did you mean {near[0]}?" if near else ": check its name and place"
        yield f"{where} is not a field of the installed kubernetes library{hint}"


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else "a boolean" if isinstance(value, bool) else "a number"
