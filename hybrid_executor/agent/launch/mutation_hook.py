"""The deployment's ``pod_mutation_hook``: the only part of Airflow, besides its configuration, that an agent uses.

Promises: without such a hook nothing of Airflow is imported for it. Airflow's own loading is used, so a hook in
``airflow_local_settings`` or in an ``airflow.policy`` plugin works as everywhere else.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from hybrid_executor.errors import ConfigError

Hook = Callable[[Any], object]

_MODULE = "airflow_local_settings"
_PLUGINS = "airflow.policy"


def load_mutation_hook(*, config_folder: str, plugins_folder: str) -> Hook | None:
    """Return the hook, None if there is none.

    :param config_folder: ``$AIRFLOW_HOME/config``. :param plugins_folder: ``[core] plugins_folder``.
    :raises ConfigError: the module that may hold it cannot be imported: pods must not be made without it.
    """
    for folder in (config_folder, plugins_folder):
        if folder and folder not in sys.path:
            sys.path.append(folder)
    if not _is_defined_somewhere():
        return None
    try:
        return _load_through_airflow()
    except Exception as error:
        raise ConfigError(
            f"{_MODULE} or a plugin of {_PLUGINS} cannot be loaded ({type(error).__name__}: {error}). It may hold "
            "pod_mutation_hook, so no pod is created without it: fix it or remove it."
        ) from error


def airflow_config_folder() -> str:
    """Return the folder that Airflow looks for ``airflow_local_settings`` in."""
    home = os.path.expanduser(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow")))
    return os.path.join(home, "config")


def _is_defined_somewhere() -> bool:
    if _MODULE in sys.modules or importlib.util.find_spec(_MODULE) is not None:
        return True
    return any(True for _ in entry_points(group=_PLUGINS))


def _load_through_airflow() -> Hook | None:
    from airflow import settings

    policies = settings.get_policy_plugin_manager()
    # Airflow has done both already, unless it runs as a library. Doing it twice would fail.
    if os.environ.get("_AIRFLOW__AS_LIBRARY"):
        settings.load_policy_plugins(policies)
        load_local_settings: Callable[[], None] = settings.import_local_settings
        load_local_settings()
    if not policies.hook.pod_mutation_hook.get_hookimpls():
        return None
    hook: Hook = settings.pod_mutation_hook
    return hook
