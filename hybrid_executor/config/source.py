"""Airflow's configuration as this project reads it.

Airflow and installed providers carry defaults for the sections of upstream's executors (a broker at ``redis:6379``,
no retries of pod creation, ...). Whether such a provider is installed must change nothing here, so in these sections
only what a person has set counts, and every option's default is the one in our own table.
"""

from __future__ import annotations

import os
from configparser import RawConfigParser
from typing import Any

_OUR_DEFAULTS_COUNT = frozenset(
    {
        "hybrid_executor",
        "celery",
        "celery_broker_transport_options",
        "celery_kubernetes_executor",
        "kubernetes_executor",
        "local_kubernetes_executor",
    }
)


class AirflowConfig:
    """A :class:`~hybrid_executor.config.options.ConfigSource` over Airflow's ``conf``."""

    def __init__(self, conf: Any) -> None:
        self._conf = conf

    def get(self, section: str, key: str, *, fallback: Any = None) -> Any:
        """Return the option's text, from environment, file, command or secret, or ``fallback``."""
        if section in _OUR_DEFAULTS_COUNT and not self._is_set(section, key):
            return fallback
        return self._conf.get(section, key, fallback=fallback)

    def options(self, section: str) -> dict[str, str]:
        """Return every option that a person has set in ``section``, by name in lower case."""
        prefix = f"AIRFLOW__{section.upper()}__"
        names = {name[len(prefix) :].lower() for name in os.environ if name.startswith(prefix)}
        if RawConfigParser.has_section(self._conf, section):
            names.update(RawConfigParser.options(self._conf, section))
        plain = {
            name.removesuffix("_cmd").removesuffix("_secret") if self._is_indirect(section, name) else name
            for name in names
        }
        return {name: self._conf.get(section, name) for name in sorted(plain)}

    def _is_set(self, section: str, key: str) -> bool:
        variable = f"AIRFLOW__{section.upper()}__{key.upper()}"
        return any(
            variable + suffix.upper() in os.environ or RawConfigParser.has_option(self._conf, section, key + suffix)
            for suffix in ("", "_cmd", "_secret")
        )

    def _is_indirect(self, section: str, name: str) -> bool:
        """Return whether ``name`` is the command or secret behind an option that Airflow lets be read that way."""
        for suffix in ("_cmd", "_secret"):
            if name.endswith(suffix):
                return self._conf.is_sensitive_option(section, name.removesuffix(suffix)) or section == "celery"
        return False


def airflow_config() -> AirflowConfig:
    """Return Airflow's configuration of this process."""
    from airflow.configuration import conf

    return AirflowConfig(conf)
