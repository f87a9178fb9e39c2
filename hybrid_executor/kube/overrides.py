"""``executor_config``, of a task or of a profile, read once into overrides: one layer of a pod.

Pure. Promises: overrides can be written as JSON; anything that would be ignored or misread is a TaskRejected that says
what to write instead, so a task never runs in a pod other than the one its author described.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.legacy import KEY as LEGACY_KEY
from hybrid_executor.kube.legacy import pod_of_legacy
from hybrid_executor.kube.models import is_model
from hybrid_executor.kube.plain import json_like

OVERRIDE_KEY = "pod_override"
TEMPLATE_KEY = "pod_template_file"
# How Airflow's serialiser writes a V1Pod into its database.
_SERIALISED_TYPE, _SERIALISED_VALUE, _SERIALISED_POD = "__type", "__var", "k8s.V1Pod"
_POD_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True)
class Overrides:
    """One layer of a pod, laid over the template. Not shown: it may hold secrets.

    :ivar pod: partial pod in the API's spelling.
    :ivar template_file: path of the template to begin with, "" for the one that would be used anyway.
    """

    pod: Mapping[str, Any] = field(default_factory=dict, repr=False)
    template_file: str = ""

    def to_text(self) -> str:
        """Return the overrides as Redis has them: JSON with ``pod`` and ``template_file``, "" where both are empty."""
        fields = {"pod": self.pod, "template_file": self.template_file}
        given = {name: value for name, value in fields.items() if value}
        return json.dumps(given, separators=(",", ":")) if given else ""

    @classmethod
    def from_text(cls, text: str) -> Overrides:
        """Return what :meth:`to_text` wrote."""
        fields = json.loads(text) if text else {}
        return cls(fields.get("pod") or {}, fields.get("template_file") or "")


NO_OVERRIDES = Overrides()


def read_overrides(executor_config: object) -> Overrides:
    """Return the overrides that an ``executor_config`` asks for.

    Understood are ``pod_override`` (a V1Pod, or a dict shaped like a pod), ``pod_template_file`` and the legacy dict
    ``{"KubernetesExecutor": {...}}``. Keys ending in "Executor" are for other executors and, like any other key that
    is not ours, ignored. ``pod_override`` together with the legacy dict is refused: it is not clear which of
    the two should win.

    :raises TaskRejected: with what to write instead.
    """
    if executor_config is None:
        return NO_OVERRIDES
    if not isinstance(executor_config, Mapping):
        raise TaskRejected(
            f"executor_config is {type(executor_config).__name__}: write a dict such as "
            '{"pod_override": k8s.V1Pod(...)}.'
        )
    override, legacy = executor_config.get(OVERRIDE_KEY), executor_config.get(LEGACY_KEY)
    if override and legacy:
        raise TaskRejected(
            f"executor_config has both {OVERRIDE_KEY!r} and {LEGACY_KEY!r}: keep {OVERRIDE_KEY!r} and move the other's "
            "settings into it."
        )
    pod: dict[str, Any] = {}
    if override is not None:
        pod = _pod_of_override(override)
    elif legacy is not None:
        pod = pod_of_legacy(legacy)
    template_file = executor_config.get(TEMPLATE_KEY)
    if template_file is not None and not isinstance(template_file, str):
        raise TaskRejected(f"executor_config[{TEMPLATE_KEY!r}] is {type(template_file).__name__}: write a file's path.")
    return Overrides(pod, template_file or "")


def _pod_of_override(override: object) -> dict[str, Any]:
    where = f"executor_config[{OVERRIDE_KEY!r}]"
    if is_model(override) and type(override).__name__ != "V1Pod":
        raise TaskRejected(f"{where} is a {type(override).__name__}: write a kubernetes.client.V1Pod.")
    if isinstance(override, Mapping) and override.get(_SERIALISED_TYPE) == _SERIALISED_POD:
        override = override.get(_SERIALISED_VALUE) or {}
    if not isinstance(override, Mapping) and not is_model(override):
        words = f"{where} is {type(override).__name__}: write a kubernetes.client.V1Pod or a dict like one."
        # A model's own text, which is what Airflow 3.2 stores where it lacks the provider that it serialises pods with.
        if isinstance(override, str) and "api_version" in override:
            words += " A V1Pod on Airflow 3.2 needs apache-airflow-providers-cncf-kubernetes."
        raise TaskRejected(words)
    pod = json_like(override, where=where)
    _check_shape(pod, where)
    pod.pop("status", None)
    return {name: value for name, value in pod.items() if value}


def _check_shape(pod: Mapping[str, Any], where: str) -> None:
    """Refuse what the API would silently drop: unknown parts, and fields in Python's spelling."""
    for name in pod:
        if name not in _POD_FIELDS:
            near = get_close_matches(name, _POD_FIELDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " The containers belong below 'spec'."
            raise TaskRejected(f"{where} has no field {name!r} (a pod has metadata and spec).{hint}")
    for part in ("metadata", "spec"):
        fields = pod.get(part) or {}
        if not isinstance(fields, dict):
            raise TaskRejected(f"{where}[{part!r}] is {type(fields).__name__}: write a dict.")
        _check_spelling(fields, f"{where}[{part!r}]")
    spec = pod.get("spec") or {}
    for part in ("containers", "initContainers"):
        containers = spec.get(part) or []
        if not isinstance(containers, list) or not all(isinstance(container, dict) for container in containers):
            raise TaskRejected(f"{where}['spec'][{part!r}]: write a list of dicts.")
        for container in containers:
            _check_spelling(container, f"{where}['spec'][{part!r}]")


def _check_spelling(fields: Mapping[str, Any], where: str) -> None:
    from hybrid_executor.config.kubernetes import camel_case

    for name in fields:
        if "_" in name:
            raise TaskRejected(f"{where} has no field {name!r}: in a dict write {camel_case(name)!r}.")
