"""Profiles: named pod settings for routes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from hybrid_executor.config.warm import WarmPods, parse_warm
from hybrid_executor.config.yaml_keys import keys_given_twice
from hybrid_executor.errors import ConfigError

_KEYS = ("cluster_context", "config_file", "in_cluster", "namespace", "pod_template_file", "executor_config", "warm")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Named pod settings. Unset values come from ``[kubernetes_executor]``.

    :ivar cluster_context, config_file, in_cluster: the cluster; ``None`` means unset.
    :ivar executor_config: as in a task; the task's own wins.
    :ivar warm: pods that wait for a task; ``None`` for none.
    """

    name: str
    cluster_context: str | None = None
    config_file: str | None = None
    in_cluster: bool | None = None
    namespace: str | None = None
    pod_template_file: str | None = None
    executor_config: Mapping[str, Any] = field(default_factory=dict)
    warm: WarmPods | None = None

    @property
    def cluster(self) -> str:
        """Name of the profile's cluster in Redis: "default", unless the profile sets its own cluster."""
        if self.cluster_context is None and self.config_file is None and self.in_cluster is None:
            return DEFAULT_CLUSTER
        return self.cluster_context or self.name


log = logging.getLogger(__name__)

DEFAULT_CLUSTER = "default"
DEFAULT_PROFILE = Profile(name="")


def read_profiles(path: str) -> dict[str, Profile]:
    """Return the profiles of a YAML file by name; none for an empty path.

    :raises ConfigError: the file is missing or malformed, or a profile has an unknown key or a value of a wrong type.
    """
    if not path:
        return {}
    option = f"[hybrid_executor] profiles_file = {path}"
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{option}: {error.strerror}; write the path of a readable file, or unset the option."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{option} is not valid YAML: {error}") from error
    for words in keys_given_twice(path):
        log.warning("%s: %s", option, words)
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise ConfigError(f"{option}: write a mapping of profile names to settings, e.g. 'gpu: {{namespace: gpu}}'.")
    return {str(name): _parse_profile(str(name), settings, option) for name, settings in content.items()}


def _parse_profile(name: str, settings: Mapping[str, Any], option: str) -> Profile:
    for key, value in settings.items():
        if key not in _KEYS:
            likely = get_close_matches(str(key), _KEYS, n=1)
            meant = f"Did you mean {likely[0]}? The keys are" if likely else "Write one of"
            raise ConfigError(f"{option}: unknown key {key!r} in the profile {name!r}. {meant} {', '.join(_KEYS)}.")
        wanted = {"in_cluster": bool, "executor_config": dict, "warm": dict}.get(key, str)
        if not isinstance(value, wanted):
            raise ConfigError(
                f"{option}: profile {name!r} has {key} = {value!r}; write "
                f"{ {bool: 'true or false', dict: 'a mapping', str: 'text'}[wanted] }."
            )
    known = {**settings}
    if "warm" in known:
        known["warm"] = parse_warm(known["warm"], where=f"{option}: profile {name!r}")
    return Profile(name=name, **known)
