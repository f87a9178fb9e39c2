"""The three patch formats of the API, as pure functions. The result shares unchanged parts with the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid_executor.sandbox.objects import Object
from hybrid_executor.sandbox.status import StatusError, bad_request

MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "conditions": "type",
    "podIPs": "ip",
    "hostIPs": "ip",
    "ownerReferences": "uid",
}
"""By which field a strategic merge patch joins the entries of a list. Any list not named here is replaced whole; so are
container statuses and tolerations, as the real types have it."""

PRIMITIVE_LISTS = frozenset({"finalizers"})
"""Lists of plain values that a strategic merge patch adds to."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386): objects are joined, None removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any, *, field: str = "") -> Any:
    """Apply a strategic merge patch: as a merge patch, but lists with a merge key are joined entry by entry.

    Understands ``$patch: replace|delete|merge``, ``$retainKeys`` (ignored beyond being removed),
    ``$setElementOrder/…`` (ignored: entries keep the server's order) and ``$deleteFromPrimitiveList/…``.
    """
    if isinstance(patch, list):
        return _merge_lists(target if isinstance(target, list) else [], patch, field)
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [entry for entry in merged.get(name, []) if entry not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value, field=key)
    return merged


def _merge_lists(target: Sequence[Any], patch: Sequence[Any], field: str) -> list[Any]:
    if field in PRIMITIVE_LISTS:
        return [*target, *(entry for entry in patch if entry not in target)]
    merge_key = MERGE_KEYS.get(field)
    if merge_key is None or any(isinstance(entry, dict) and entry.get("$patch") == "replace" for entry in patch):
        return [entry for entry in patch if not (isinstance(entry, dict) and "$patch" in entry)]
    merged = list(target)
    for entry in patch:
        if not isinstance(entry, dict) or merge_key not in entry:
            raise bad_request(f"map: {entry} does not contain declared merge key: {merge_key}")
        position = next((at for at, old in enumerate(merged) if old.get(merge_key) == entry[merge_key]), len(merged))
        if entry.get("$patch") == "delete":
            del merged[position : position + 1]
        elif position < len(merged):
            merged[position] = strategic_merge_patch(merged[position], entry)
        else:
            merged.append(strategic_merge_patch({}, entry))
    return merged


def json_patch(target: Object, operations: Any) -> Any:
    """Apply a JSON patch (RFC 6902).

    :raises StatusError: 400 for a malformed patch, 422 where an operation does not fit the object.
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result: Any = target
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            message = f"the server rejected our request due to an error in our request: {error}"
            raise StatusError(422, "Invalid", message) from error
    return result


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    kind, path = operation["op"], _steps(operation["path"])
    if kind == "test":
        if _get(document, path) != operation["value"]:
            raise ValueError(f"testing path {operation['path']} failed")
        return document
    if kind == "remove":
        return _at(document, path, _remove)
    if kind == "replace":
        _get(document, path)
        return _at(document, path, lambda holder, key: _store(holder, key, operation["value"]))
    if kind == "add":
        return _at(document, path, lambda holder, key: _add(holder, key, operation["value"]))
    if kind in {"copy", "move"}:
        source = _steps(operation["from"])
        value = _get(document, source)
        if kind == "move":
            document = _at(document, source, _remove)
        return _at(document, path, lambda holder, key: _add(holder, key, value))
    raise ValueError(f"unexpected kind: {kind}")


def _steps(pointer: str) -> list[str]:
    if not pointer.startswith("/"):
        raise ValueError(f"invalid path {pointer!r}")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _get(document: Any, path: Sequence[str]) -> Any:
    for step in path:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _at(document: Any, path: Sequence[str], change: Callable[[Any, str], Any]) -> Any:
    """Return the document with its part at ``path`` changed, copying only what lies on the way."""
    if len(path) == 1:
        return change(document, path[0])
    inner = _at(_get(document, path[:1]), path[1:], change)
    return _store(document, path[0], inner)


def _store(holder: Any, key: str, value: Any) -> Any:
    if isinstance(holder, list):
        return [value if at == int(key) else entry for at, entry in enumerate(holder)]
    return {**holder, key: value}


def _add(holder: Any, key: str, value: Any) -> Any:
    if not isinstance(holder, list):
        return {**holder, key: value}
    at = len(holder) if key == "-" else int(key)
    if not 0 <= at <= len(holder):
        raise IndexError(f"index {key} is out of bounds")
    return [*holder[:at], value, *holder[at:]]


def _remove(holder: Any, key: str) -> Any:
    if isinstance(holder, list):
        return [entry for at, entry in enumerate(holder) if at != range(len(holder))[int(key)]]
    if key not in holder:
        raise KeyError(key)
    return {name: value for name, value in holder.items() if name != key}
