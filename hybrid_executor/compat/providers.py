"""What the installed providers add to Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def read_providers() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return each provider's package with its sections of the configuration and its groups of commands, by package."""
    from airflow.providers_manager import ProvidersManager

    make_manager: Any = ProvidersManager
    manager = make_manager()
    return [
        (str(package), tuple(sorted(info.data.get("config") or {})), _groups(info.data))
        for package, info in sorted(manager.providers.items())
    ]


def _groups(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a provider's commands; none where they cannot be imported, as in Airflow's own parser."""
    found: list[str] = []
    for path in data.get("cli") or ():
        module, _, function = str(path).rpartition(".")
        try:
            found += [str(command.name) for command in getattr(import_module(module), function)()]
        except Exception:  # noqa: BLE001, PERF203 - a broken provider is none of our business
            continue
    return tuple(found)
