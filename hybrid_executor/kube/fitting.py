"""Values of a pod in the type that the API wants: YAML reads ``value: 8080`` as a number, and the API takes only text.

Does what Airflow's own path through the Kubernetes library's models does: numbers and booleans become text as Python
writes them (``True``), and text becomes a number where one is wanted. Fields that the installed models do not know are
left as they are: the API server may be newer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_LIST = re.compile(r"list\[(.+)\]\Z", re.IGNORECASE)
_DICT = re.compile(r"dict[(\[]str, (.+)[)\]]\Z", re.IGNORECASE)
Fitter = Callable[[Any], Any]
_BOOLEANS = {"true": True, "false": False}


def fit_pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod with each value in its field's type; parts that have the right type are shared, not copied."""
    fit = _fitter("V1Pod")
    return dict(pod) if fit is None else dict(fit(pod))


def lost_fields(pod: Any, known: Any) -> Any:
    """Return the parts of ``pod`` that are missing in ``known``, the same pod after the models; None for nothing.

    Lists keep their length: places where nothing was lost hold None.
    """
    if isinstance(pod, Mapping) and isinstance(known, Mapping):
        lost = {
            key: value if key not in known else lost_fields(value, known[key])
            for key, value in pod.items()
            if value is not None
        }
        return {key: value for key, value in lost.items() if value is not None} or None
    if isinstance(pod, list) and isinstance(known, list) and len(pod) == len(known):
        found = [lost_fields(item, other) for item, other in zip(pod, known, strict=True)]
        return found if any(item is not None for item in found) else None
    return None


def give_back(lost: Any, pod: Any, original: Any) -> Any:
    """Return ``pod`` with what :func:`lost_fields` found; entries of lists are found again by name, else by place.

    What has been removed from the pod since stays removed, with all that was below it.

    :param original: the pod that ``lost`` was taken from.
    """
    if isinstance(lost, Mapping) and isinstance(pod, Mapping):
        whole = dict(pod)
        for key, value in lost.items():
            if key in pod:
                whole[key] = give_back(value, pod[key], original[key])
            elif not isinstance(value, list | dict) or value is original[key]:
                whole[key] = value
        return whole
    if isinstance(lost, list) and isinstance(pod, list):
        places = {_key(item, place): place for place, item in enumerate(pod)}
        whole_list = list(pod)
        for place, value in enumerate(lost):
            found = places.get(_key(original[place], place))
            if value is not None and found is not None:
                whole_list[found] = give_back(value, pod[found], original[place])
        return whole_list
    return pod


def _key(item: Any, place: int) -> object:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name or place


@cache
def _fitter(kind: str) -> Fitter | None:
    """Return a function that converts to a type of the library's ``openapi_types``; None if nothing is to be converted.

    Made once for each type: agents fit hundreds of pods a second.
    """
    if kind in _SCALARS:
        return _SCALARS[kind]
    if found := _LIST.match(kind):
        return _list_fitter(_fitter(found[1]))
    if found := _DICT.match(kind):
        return _map_fitter(_fitter(found[1]))
    from kubernetes import client

    model: Any = getattr(client, kind, None)
    return _model_fitter(model) if hasattr(model, "openapi_types") else None


def _list_fitter(fit: Fitter | None) -> Fitter | None:
    if fit is None:
        return None
    return lambda value: [fit(item) for item in value] if isinstance(value, list) else value


def _map_fitter(fit: Fitter | None) -> Fitter | None:
    if fit is None:
        return None
    return lambda value: {key: fit(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _model_fitter(model: Any) -> Fitter:
    fields: dict[str, Fitter] = {}
    kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}

    def fit(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fitted = dict(value)
        for name, item in value.items():
            if name in kinds:
                if name not in fields:
                    # Made at first use: types refer to each other, and most fields are never used.
                    fields[name] = _fitter(kinds[name]) or _as_it_is
                fitted[name] = fields[name](item)
        return fitted

    return fit


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, bool | int | float) else value


def _integer(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _boolean(value: Any) -> Any:
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value


_SCALARS: dict[str, Fitter] = {"str": _text, "int": _integer, "bool": _boolean}
