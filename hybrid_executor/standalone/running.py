"""The file in the Airflow home by which other commands find a running standalone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

_FILE = "running.json"
_SAME_SECONDS = 0.5


def announce(state_dir: Path, environment: Mapping[str, str], *, base: Mapping[str, str]) -> None:
    """Write the file: the environment variables that other commands need to use this standalone.

    It holds passwords, so only its user may read it.

    :param environment: the components' environment.
    :param base: the environment that this process was started with.
    """
    told = {
        name: value for name, value in environment.items() if name.startswith("AIRFLOW") and base.get(name) != value
    }
    described = {"pid": os.getpid(), "started": psutil.Process().create_time(), "environment": told}
    path = state_dir / _FILE
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(described, file)


def withdraw(state_dir: Path) -> None:
    """Delete the file if this process has written it."""
    if _read(state_dir).get("pid") == os.getpid():
        (state_dir / _FILE).unlink(missing_ok=True)


def find(state_dir: Path) -> dict[str, str]:
    """Return the environment of the running standalone; empty if none runs."""
    described = _read(state_dir)
    try:
        if abs(psutil.Process(int(described["pid"])).create_time() - float(described["started"])) > _SAME_SECONDS:
            return {}
        return {str(name): str(value) for name, value in described["environment"].items()}
    except (psutil.Error, KeyError, ValueError, TypeError, AttributeError):
        return {}


def _read(state_dir: Path) -> dict[str, Any]:
    try:
        described = json.loads((state_dir / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}
