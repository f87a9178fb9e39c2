"""A container's command and environment, from its manifest. Pure, except for the lookup of secrets and config maps.

A later source wins: the image's environment, variables of every sandbox pod, ``envFrom``, ``env``. ``$(NAME)`` is
expanded in commands, arguments and values as Kubernetes does, ``$$(NAME)`` is not.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hybrid_executor.errors import HybridError
from hybrid_executor.sandbox.hostname import POD_NAME_VARIABLE
from hybrid_executor.sandbox.objects import Object, name_of, namespace_of

HOSTNAME_OPTION = "AIRFLOW__CORE__HOSTNAME_CALLABLE"
HOSTNAME_CALLABLE = "hybrid_executor.sandbox.hostname.pod_hostname"
PYTHON_NAMES = frozenset({"python", "python3"})
REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")

Lookup = Callable[[str, str], "Mapping[str, str] | None"]
"""From kind (``secret``, ``configmap``) and name to the data in plain text, None if there is no such object."""


class ContainerConfigError(HybridError):
    """A container's environment refers to a secret or config map that does not exist."""


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the variable, leaving unknown ones as they are, and ``$$`` by ``$``."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return environment.get(match[1], match[0])

    return REFERENCE.sub(value_of, text)


def container_command(container: Object, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command line: ``command`` and ``args``; () where there is neither.

    A first word of ``python`` means this interpreter.
    """
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    command = [expand(word, environment) for word in words]
    if command and command[0] in PYTHON_NAMES:
        command[0] = sys.executable
    return tuple(command)


def pod_environment(image: Mapping[str, str], pod: Object) -> dict[str, str]:
    """Return the image's environment with what every pod has on top.

    This interpreter's directory comes first on PATH; this package can be imported; Airflow reports the pod's name.
    """
    environment = {**image, "HOSTNAME": name_of(pod), POD_NAME_VARIABLE: name_of(pod)}
    environment[HOSTNAME_OPTION] = HOSTNAME_CALLABLE
    environment["PATH"] = _with_path(environment.get("PATH", ""), Path(sys.executable).parent, first=True)
    source_root = Path(__file__).parents[2]
    if source_root.name not in {"site-packages", "dist-packages"}:
        environment["PYTHONPATH"] = _with_path(environment.get("PYTHONPATH", ""), source_root, first=False)
    return environment


def container_environment(base: Mapping[str, str], container: Object, pod: Object, lookup: Lookup) -> dict[str, str]:
    """Return a container's whole environment.

    :param base: what :func:`pod_environment` gave.
    :raises ContainerConfigError: something that it refers to, and that is not optional, does not exist.
    """
    environment = dict(base)
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        for kind, field in (("secret", "secretRef"), ("configmap", "configMapRef")):
            if field in source:
                data = _data_of(kind, source[field], lookup)
                environment.update({prefix + key: value for key, value in data.items()})
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _value_from(variable["valueFrom"], container, pod, lookup)
        else:
            value = expand(variable.get("value") or "", environment)
        if value is not None:
            environment[variable["name"]] = value
    return environment


def plain_data(stored: Object, *, is_secret: bool) -> dict[str, str]:
    """Return the data of a secret or config map as text."""
    data: dict[str, str] = stored.get("data") or {}
    if not is_secret:
        return dict(data)
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _with_path(paths: str, path: Path, *, first: bool) -> str:
    parts = [part for part in paths.split(":") if part and part != str(path)]
    return ":".join([str(path), *parts] if first else [*parts, str(path)])


def _data_of(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> Mapping[str, str]:
    data = lookup(kind, reference["name"])
    if data is not None:
        return data
    if reference.get("optional"):
        return {}
    raise ContainerConfigError(f'{kind} "{reference["name"]}" not found')


def _value_from(source: Mapping[str, Any], container: Object, pod: Object, lookup: Lookup) -> str | None:
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod)
    if "resourceFieldRef" in source:
        kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(((container.get("resources") or {}).get(kind) or {}).get(name, "0"))
    for kind, field, shown in (
        ("secret", "secretKeyRef", "Secret"),
        ("configmap", "configMapKeyRef", "ConfigMap"),
    ):
        if field in source:
            reference = source[field]
            data = _data_of(kind, reference, lookup)
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            where = f"{namespace_of(pod)}/{reference['name']}"
            raise ContainerConfigError(f"couldn't find key {reference['key']} in {shown} {where}")
    return None


def _field(path: str, pod: Object) -> str:
    """Return a field of the pod, also ``metadata.labels['key']``; "" where there is none."""
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    value: Any = pod
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    return str(value)
