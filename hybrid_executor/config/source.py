"""Airflow's configuration as this project reads it.

Airflow and its providers have defaults for the sections of upstream's executors (a broker at ``redis:6379``, no retries
of pod creation, ...). It must make no difference here whether such a provider is installed. So in these sections only
values count that a person has set, and the defaults are those of our own tables. ``<option>_cmd`` and
``<option>_secret`` work for all options; in Airflow, only for options that a provider has declared as sensitive.

For a team, only the team's own values of these sections count. Of all other sections, such as ``[core]`` and
``[operators]``, the values for all teams count too where the team has none: a worker of the team must know on which
queue Airflow puts tasks that name none.
"""

from __future__ import annotations

import os
from configparser import RawConfigParser
from typing import Any

from hybrid_executor.config.teams import OWN_SECTIONS, check_team, process_team, section_of, team_prefix
from hybrid_executor.errors import ConfigError


class AirflowConfig:
    """A :class:`~hybrid_executor.config.options.ConfigSource` over Airflow's ``conf``.

    :param team: read the options of this team; "" for those of all teams.
    """

    def __init__(self, conf: Any, *, team: str = "") -> None:
        self._conf = conf
        self.team = team
        self._mine: dict[str, Any] = {"team_name": team} if team else {}

    def get(self, section: str, key: str, *, fallback: Any = None) -> Any:
        """Return the option's text, or ``fallback``.

        The order is Airflow's: the environment (option, command, secret), then the file (option, command, secret). As
        in Airflow, values in the file are interpolated (``%%`` means ``%``), and the output of commands is not. An
        empty output of a command or secret in the file counts as not set. White space around an output is removed.

        :raises ConfigError: a command fails; its output is not shown, since it may hold a password.
        """
        if section not in OWN_SECTIONS:
            mine = self._mine if self._is_mine(section, key) else {}
            return self._conf.get(section, key, fallback=fallback, **mine)
        variable = self._variable(section, key)
        if variable in os.environ:
            return self._conf.get(section, key, fallback=fallback, **self._mine)
        if (command := os.environ.get(f"{variable}_CMD")) is not None:
            return _run(command, f"{variable}_CMD")
        path = os.environ.get(f"{variable}_SECRET")
        if path is not None and (secret := _ask_secrets_backend(path, f"{variable}_SECRET")) is not None:
            return secret
        if RawConfigParser.has_option(self._conf, section_of(self.team, section), key):
            return self._conf.get(section, key, fallback=fallback, **self._mine)
        if (command := self._in_file(section, f"{key}_cmd")) and (output := _run(command, f"[{section}] {key}_cmd")):
            return output
        path = self._in_file(section, f"{key}_secret")
        if path and (secret := _ask_secrets_backend(path, f"[{section}] {key}_secret")):
            return secret
        return fallback

    def options(self, section: str) -> dict[str, str]:
        """Return every option that a person has set in ``section``, with names in lower case."""
        prefix, written = self._variable(section, ""), section_of(self.team, section)
        names = {name[len(prefix) :].lower() for name in os.environ if name.startswith(prefix)}
        if RawConfigParser.has_section(self._conf, written):
            names.update(RawConfigParser.options(self._conf, written))
        plain = {name.removesuffix("_cmd").removesuffix("_secret") for name in names}
        return {name: self.get(section, name) for name in sorted(plain)}

    def is_set(self, section: str, key: str) -> bool:
        """Return whether a person has set the option, itself or as a command or secret; runs no command."""
        if section not in OWN_SECTIONS and self._is_mine(section, key):
            return True
        endings = ("", "_cmd", "_secret")
        variable = self._variable(section, key)
        if any(f"{variable}{ending.upper()}" in os.environ for ending in endings):
            return True
        return any(self._in_file(section, f"{key}{ending}") is not None for ending in endings)

    @property
    def parser(self) -> Any:
        """Airflow's ``conf`` itself."""
        return self._conf

    def _variable(self, section: str, key: str) -> str:
        return f"AIRFLOW__{team_prefix(self.team, section)}{section.upper()}__{key.upper()}"

    def _is_mine(self, section: str, key: str) -> bool:
        """Return whether the team has a value of its own in a section that all share."""
        if not self.team:
            return False
        variable = f"AIRFLOW__{self.team.upper()}___{section.upper()}__{key.upper()}"
        return variable in os.environ or RawConfigParser.has_option(self._conf, f"{self.team}={section}", key)

    def _in_file(self, section: str, key: str) -> str | None:
        written = section_of(self.team, section)
        if not RawConfigParser.has_option(self._conf, written, key):
            return None
        return str(RawConfigParser.get(self._conf, written, key))


def _run(command: str, option: str) -> str:
    from airflow.configuration import run_command
    from airflow.exceptions import AirflowConfigException

    try:
        return run_command(command).strip()
    except (AirflowConfigException, OSError, ValueError) as error:
        raise ConfigError(
            f"The command of {option} failed ({type(error).__name__}): run it by hand to see why. Its output is not "
            "shown here, since it may hold a password."
        ) from None


def _ask_secrets_backend(path: str, option: str) -> str | None:
    from airflow.configuration import get_custom_secret_backend

    try:
        backend = get_custom_secret_backend()
        return backend.get_config(path) if backend is not None else None
    except Exception as error:
        raise ConfigError(
            f"The secrets backend failed to return {option} ({type(error).__name__}): correct [secrets] backend "
            "and backend_kwargs, or set the option itself."
        ) from error


def airflow_config(team: str | None = None) -> AirflowConfig:
    """Return Airflow's configuration of this process.

    :param team: read the options of this team; ``None`` or "" for those of all teams.
    """
    from airflow.configuration import conf

    return AirflowConfig(conf, team=team or "")


def process_config() -> AirflowConfig:
    """Return the configuration of a command, an agent or a worker: that of its team, if it was started for one.

    :raises ConfigError: the team does not exist, or has no executor of this project.
    """
    team = process_team()
    check_team(airflow_config(), team)
    return airflow_config(team)
