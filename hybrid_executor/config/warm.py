"""A profile's warm pods: how many wait, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from hybrid_executor.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WarmPods:
    """The key ``warm`` of a profile.

    :ivar idle: pods that wait when nothing happens. :ivar most: pods that wait at most, after much demand.
    :ivar idle_seconds: how long demand counts: after this time without it, ``idle`` pods wait again.
    :ivar lifetime_seconds: a pod that has waited for so long is replaced.
    :ivar priority_class: ``priorityClassName`` of these pods, also while their task runs; "" for that of the template.
    :ivar hook_ignores_task: ``pod_mutation_hook`` does not look at the task, so it may be called without one.
    """

    idle: int = 1
    most: int = 20
    idle_seconds: float = 600.0
    lifetime_seconds: float = 3600.0
    priority_class: str = ""
    hook_ignores_task: bool = False


_KEYS = tuple(field.name for field in fields(WarmPods))
_LEAST = {"idle": 0, "most": 1, "idle_seconds": 10, "lifetime_seconds": 60}


def parse_warm(settings: Mapping[str, Any], *, where: str) -> WarmPods:
    """Return the settings of a mapping.

    :param where: names file and profile.
    :raises ConfigError: an unknown key or a wrong value, with what to write.
    """
    for key, value in settings.items():
        if key not in _KEYS:
            likely = get_close_matches(str(key), _KEYS, n=1)
            meant = f"Did you mean {likely[0]}? The keys are" if likely else "Write one of"
            raise ConfigError(f"{where}: unknown key {key!r} in warm. {meant} {', '.join(_KEYS)}.")
        wanted = _wanted(key, value)
        if wanted:
            raise ConfigError(f"{where}: warm has {key} = {value!r}; write {wanted}.")
    idle = settings.get("idle", WarmPods.idle)
    found = WarmPods(**{"most": max(WarmPods.most, idle), **settings})
    if found.most < found.idle:
        raise ConfigError(f"{where}: warm has most = {found.most}; write at least idle, which is {found.idle}.")
    return found


def _wanted(key: str, value: object) -> str:
    """Return what to write instead of a wrong value, "" for one that is right."""
    if key == "priority_class":
        return "" if isinstance(value, str) else "the name of a priority class"
    if key == "hook_ignores_task":
        return "" if isinstance(value, bool) else "true or false"
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    least = _LEAST[key]
    if key.endswith("_seconds"):
        is_right = (is_whole or isinstance(value, float)) and float(value) >= least  # type: ignore[arg-type]
        return "" if is_right else f"a number of seconds, at least {least}"
    return "" if is_whole and value >= least else f"a whole number, at least {least}"  # type: ignore[operator]
