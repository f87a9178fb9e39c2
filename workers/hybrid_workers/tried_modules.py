"""Imports modules of others once, before the worker forks, where all its processes can share them.

Airflow loads all plugins in each task's process, and many Dag files import numpy, with pandas. A module is first
imported for trial, in a forked process. One that fails there, starts a thread or keeps something open is left to the
tasks. To make the plugins is left to them in any case, and so are those in ``plugins_folder``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

from hybrid_workers.parsed.surroundings import has_threads

log = logging.getLogger(__name__)

_LIBRARIES = ("numpy",)
_GROUP = "airflow.plugins"
_TRIAL_SECONDS = 30
_judged: set[str] = set()


def import_tried_modules() -> None:
    """Import the modules that can be shared by forked processes, once. Linux; does nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return
    libraries = {name for name in _LIBRARIES if find_spec(name)}
    for name in sorted(libraries.union(_find_plugins()) - _judged):
        _judged.add(name)
        try:
            if _can_be_shared(name):
                resolve_name(name)
                continue
        except Exception as error:  # noqa: BLE001 - a module may raise anything; each task will tell
            log.debug("%s cannot be imported: %s", name, error)
        log.info("Each task imports %s for itself: it fails, starts a thread or keeps something open", name)


def _find_plugins() -> Iterator[str]:
    """Yield the classes of plugins, as ``module:name``."""
    for entry in entry_points(group=_GROUP):
        yield f"{entry.module}:{entry.attr}"
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

        manager: Any = ProvidersManagerTaskRuntime
        plugins = manager().plugins
    except Exception as error:  # noqa: BLE001 - a broken provider is for Airflow to tell, in each task
        log.debug("The plugins of providers are not known: %s", error)
        return
    for plugin in plugins:
        yield ":".join(plugin.plugin_class.rsplit(".", 1))


def _can_be_shared(name: str) -> bool:
    """Import a module in a forked process; return whether that succeeded and left neither threads nor descriptors."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(_TRIAL_SECONDS)
            sys.stdout = sys.stderr = nothing = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            before = len(os.listdir("/proc/self/fd"))
            resolve_name(name)
            os._exit(has_threads() or len(os.listdir("/proc/self/fd")) != before)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
