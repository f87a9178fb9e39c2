"""Airflow's configuration as this project reads it.

Airflow and installed providers carry defaults for the sections of upstream's executors (a broker at ``redis:6379``,
no retries of pod creation, ...). Whether such a provider is installed must change nothing here, so in these sections
only what a person has set counts, every option's default is the one in our own table, and ``<option>_cmd`` and
``<option>_secret`` work for all options (Airflow allows them where a provider has declared an option as sensitive).
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
        if section not in _OUR_DEFAULTS_COUNT or self._source_of(section, key) is not None:
            return self._conf.get(section, key, fallback=fallback)
        command = self._source_of(section, key + "_cmd")
        if command is not None:
            return _run(command)
        path = self._source_of(section, key + "_secret")
        return fallback if path is None else _ask_secrets_backend(path)

    def options(self, section: str) -> dict[str, str]:
        """Return every option that a person has set in ``section``, by name in lower case."""
        prefix = f"AIRFLOW__{section.upper()}__"
        names = {name[len(prefix) :].lower() for name in os.environ if name.startswith(prefix)}
        if RawConfigParser.has_section(self._conf, section):
            names.update(RawConfigParser.options(self._conf, section))
        plain = {name.removesuffix("_cmd").removesuffix("_secret") for name in names}
        return {name: self.get(section, name) for name in sorted(plain)}

    def _source_of(self, section: str, key: str) -> str | None:
        """Return what a person has written for exactly this name, ``None`` for nothing."""
        variable = f"AIRFLOW__{section.upper()}__{key.upper()}"
        if variable in os.environ:
            return os.environ[variable]
        if RawConfigParser.has_option(self._conf, section, key):
            return str(RawConfigParser.get(self._conf, section, key, raw=True))
        return None


def _run(command: str) -> str:
    from airflow.configuration import run_command

    return run_command(command).strip()


def _ask_secrets_backend(path: str) -> str | None:
    from airflow.configuration import get_custom_secret_backend

    backend = get_custom_secret_backend()
    return backend.get_config(path) if backend is not None else None


def airflow_config() -> AirflowConfig:
    """Return Airflow's configuration of this process."""
    from airflow.configuration import conf

    return AirflowConfig(conf)
