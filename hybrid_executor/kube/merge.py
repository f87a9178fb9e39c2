"""One pod laid over another, by the rules that Airflow's pod templates and ``pod_override`` have always followed.

Pure; arguments are never changed, results may share parts with them. Later wins:

* labels and annotations are joined; volumes are appended;
* containers are paired by name, and by position where a name is missing; in a pair, environment, mounts, ports and
  devices are appended and everything else is replaced whole; init containers and further containers are appended;
* everything else is replaced whole: by any value that the later pod has, but not by an empty list or mapping.

An entry that is equal in both lists is kept once, since the API refuses a volume or mount given twice. An environment
is different: the last entry of a name counts, so entries are kept, and only a list that was appended before is not
appended again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Fields = Mapping[str, Any]

_JOINED_METADATA = frozenset({"labels", "annotations"})
_APPENDED_SPEC = frozenset({"volumes"})
_PAIRED_SPEC = frozenset({"containers", "initContainers"})
_APPENDED_CONTAINER = frozenset({"volumeMounts", "env", "envFrom", "ports", "volumeDevices"})
_ORDERED = frozenset({"env", "envFrom"})


def merge_pods(earlier: Fields, later: Fields) -> dict[str, Any]:
    """Return ``later`` laid over ``earlier``; either may be partial or empty."""
    merged = _replace(earlier, later)
    for part, merge in (("metadata", _merge_metadata), ("spec", _merge_spec)):
        if earlier.get(part) or later.get(part):
            merged[part] = merge(earlier.get(part) or {}, later.get(part) or {})
    return merged


def merge_containers(earlier: Sequence[Fields], later: Sequence[Fields]) -> list[Fields]:
    """Return the containers of two pods, paired as the module says. Those of ``earlier`` keep their places."""
    merged = list(earlier)
    places = {container["name"]: place for place, container in enumerate(earlier) if container.get("name")}
    for position, container in enumerate(later):
        name = container.get("name")
        if name and name in places:
            place = places[name]
        elif position < len(earlier) and not (name and earlier[position].get("name")):
            place = position
        else:
            merged.append(container)
            continue
        merged[place] = merge_container(merged[place], container)
    return merged


def merge_container(earlier: Fields, later: Fields) -> dict[str, Any]:
    """Return one container laid over another."""
    return _replace(earlier, later, appended=_APPENDED_CONTAINER)


def _merge_metadata(earlier: Fields, later: Fields) -> dict[str, Any]:
    return _replace(earlier, later, joined=_JOINED_METADATA)


def _merge_spec(earlier: Fields, later: Fields) -> dict[str, Any]:
    merged = _replace(earlier, later, appended=_APPENDED_SPEC)
    for name in _PAIRED_SPEC:
        if earlier.get(name) and later.get(name):
            merged[name] = merge_containers(earlier[name], later[name])
    return merged


def _replace(
    earlier: Fields, later: Fields, *, appended: frozenset[str] = frozenset(), joined: frozenset[str] = frozenset()
) -> dict[str, Any]:
    merged = dict(earlier)
    for name, value in later.items():
        if value is None:
            continue
        known = merged.get(name)
        if known and name in _ORDERED:
            merged[name] = known if known[-len(value) or len(known) :] == value else [*known, *value]
        elif known and name in appended:
            merged[name] = [*known, *(entry for entry in value if entry not in known)]
        elif known and name in joined:
            merged[name] = {**known, **value}
        elif not known or not (isinstance(value, dict | list) and not value):
            merged[name] = value
    return merged
