"""Pod template files: which one a pod is made from. Each is read once, and again when the file changes.

Promises: a missing or wrong file fails only what uses it. The error has the path, the place in the file and the option
to fix. Pods are never made from an empty template: without any file, the built-in one is used.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError, TaskRejected
from hybrid_executor.kube.request import PodRequest

TEMPLATE_OPTION = "[kubernetes_executor] pod_template_file"

BUILT_IN_TEMPLATE: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "base"}]},
}
"""Used where no template is configured: one container ``base`` that is never restarted; its image comes from
``worker_container_repository`` and ``worker_container_tag``, the profile or ``executor_config``."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if libyaml is installed


@dataclass(frozen=True)
class TemplateChoice:
    """A template's path ("" for the built-in one) and the option to change if the file is wrong."""

    path: str
    option: str


def choose_template(request: PodRequest, settings: KubernetesSettings) -> TemplateChoice:
    """Return which template the pod starts from: the queue's coordinator, executor_config, profile, configuration."""
    for path, option in (
        (request.coordinator_template_file, "extra.pod_template_file of the queue's entry in [sdk] coordinators"),
        (request.overrides.template_file, 'executor_config["pod_template_file"]'),
        (request.profile_overrides.template_file, "pod_template_file of the queue's profile"),
        (settings.pod_template_file, TEMPLATE_OPTION),
    ):
        if path:
            return TemplateChoice(path, option)
    return TemplateChoice("", TEMPLATE_OPTION)


_MOST_TEMPLATES = 200


class TemplateCache:
    """Templates by path, each parsed once for as long as its file keeps its time and size. Safe for several threads.

    Tasks may use files of their own: when there are many, the first ones are forgotten.
    """

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[tuple[int, int], Mapping[str, Any]]] = {}

    def load(self, choice: TemplateChoice) -> Mapping[str, Any]:
        """Return the template as a dict that callers must not change.

        :raises TaskRejected: the file cannot be read or is no pod; the message says what to fix.
        """
        if not choice.path:
            return BUILT_IN_TEMPLATE
        try:
            found = os.stat(choice.path)
        except OSError as exc:
            raise TaskRejected(
                f"Pod template {choice.path} cannot be read ({exc.strerror}). Set {choice.option} to a file that "
                "exists where the executor's agent runs."
            ) from exc
        mark = (found.st_mtime_ns, found.st_size)
        known = self._parsed.get(choice.path)
        if known is not None and known[0] == mark:
            return known[1]
        template = read_template(choice)
        self._parsed[choice.path] = (mark, template)
        while len(self._parsed) > _MOST_TEMPLATES:
            self._parsed.pop(next(iter(self._parsed)), None)
        return template

    def require(self, choice: TemplateChoice) -> None:
        """Check a configured template when a process starts.

        :raises ConfigError: it cannot be used, with the message of :meth:`load`.
        """
        try:
            self.load(choice)
        except TaskRejected as exc:
            raise ConfigError(str(exc)) from exc


def read_template(choice: TemplateChoice) -> dict[str, Any]:
    """Read and check a template file.

    :raises TaskRejected: it cannot be read, is not YAML (with the line), or holds no pod.
    """
    try:
        with open(choice.path, encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)
    except OSError as exc:
        raise TaskRejected(f"Pod template {choice.path} cannot be read ({exc.strerror}). Fix {choice.option}.") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise TaskRejected(f"Pod template {choice.path} is not valid YAML: {_place_of(exc)}. Fix the file.") from exc
    if not isinstance(content, dict) or content.get("kind", "Pod") != "Pod":
        kind = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise TaskRejected(
            f"Pod template {choice.path} ({choice.option}) holds {kind}, not a Pod. Write one document with kind: Pod."
        )
    for part in ("metadata", "spec"):
        if not isinstance(content.get(part) or {}, dict):
            raise TaskRejected(f"Pod template {choice.path}: {part} is not a mapping. Fix the file.")
    containers = (content.get("spec") or {}).get("containers") or []
    if not isinstance(containers, list) or not all(isinstance(container, dict) for container in containers):
        raise TaskRejected(f"Pod template {choice.path}: spec.containers is not a list of mappings. Fix the file.")
    template: dict[str, Any] = _json_like(content)
    return template


def _place_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark is not None else str(problem)


def _json_like(value: Any) -> Any:
    """Return a YAML value as JSON has it: dates and keys as text, mappings without nulls."""
    if isinstance(value, dict):
        return {_key(key): _json_like(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_json_like(item) for item in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def _key(key: object) -> str:
    """Return a mapping's key as JSON writes it."""
    return {True: "true", False: "false"}[key] if isinstance(key, bool) else str(key)
