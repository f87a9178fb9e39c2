"""Configuration: one table of options, read once into frozen settings.

Belongs here: options with default, unit and meaning, and the check of their values. Does not belong here: anything that
uses them. Reading never opens a connection.
"""

from __future__ import annotations

from hybrid_executor.config.options import ConfigSource, DictConfig, Option
from hybrid_executor.config.profiles import DEFAULT_CLUSTER, DEFAULT_PROFILE, Profile
from hybrid_executor.config.settings import (
    PodToken,
    RedisLocation,
    Settings,
    read_settings,
)
from hybrid_executor.config.source import AirflowConfig, airflow_config, process_config

__all__ = [
    "DEFAULT_CLUSTER",
    "DEFAULT_PROFILE",
    "AirflowConfig",
    "ConfigSource",
    "DictConfig",
    "Option",
    "PodToken",
    "Profile",
    "RedisLocation",
    "Settings",
    "airflow_config",
    "process_config",
    "read_settings",
]
