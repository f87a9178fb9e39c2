"""A configuration as Airflow sees it, file and environment together, and how to change it where it counts. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from hybrid_executor.config.options import DictConfig
from hybrid_executor.hiding import HIDDEN
from hybrid_executor.migration.config_text import ConfigText
from hybrid_executor.migration.environment import EnvironmentText, split_variable, variable_of

_ENDINGS = ("_cmd", "_secret")
_SECRET = re.compile(
    r"(?i)(?P<before>[ +-]?\s*(?:-\s*)?[\"']?\w*(?:password|secret|token|_key|_conn|_url|result_backend|basic_auth|"
    r"sentinel_kwargs|redis_options|extra_celery_config|backend_kwargs)\w*[\"']?\s*[=:]\s*)(?P<value>\S.*)"
)
_URL = re.compile(r"[\"']?\w[\w+.-]*://\S*")
_URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):[^\s@]+@")


@dataclass(frozen=True)
class Configuration:
    """The configuration of a deployment: the environment wins over the file.

    :ivar file: the ``airflow.cfg``; ``None`` if there is none.
    :ivar environment: variables of the process, by name.
    :ivar environment_file: a file that holds them, in place of the process.
    """

    file: ConfigText | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment_file: EnvironmentText | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables that count."""
        return self.environment_file.variables if self.environment_file else self.environment

    @property
    def _unknown(self) -> frozenset[str]:
        return self.environment_file.unknown if self.environment_file else frozenset()

    def get(self, section: str, name: str) -> str | None:
        """Return an option's text; ``None`` if it is not set, or is given by a command or a secret."""
        variable = variable_of(section, name)
        if variable in self.variables:
            return self.variables[variable]
        if variable in self._unknown or any(variable + ending.upper() in self.variables for ending in _ENDINGS):
            return None
        return self.file.values.get(section, {}).get(name) if self.file else None

    def is_hidden(self, section: str, name: str) -> bool:
        """Return whether a command, a secret or a reference gives the option, so that its value is not known here."""
        value = self.get(section, name)
        if value is not None:
            return "${" in value
        in_file = self.file.values.get(section, {}) if self.file else {}
        variable = variable_of(section, name)
        in_environment = (variable + ending.upper() in self.variables for ending in _ENDINGS)
        return variable in self._unknown or any(in_environment) or any(name + ending in in_file for ending in _ENDINGS)

    def sections(self) -> dict[str, dict[str, str]]:
        """Return all options that are set, by section. Those of commands and secrets keep their own names."""
        found = {section: dict(options) for section, options in (self.file.values if self.file else {}).items()}
        for variable, value in self.variables.items():
            section, name = split_variable(variable)
            found.setdefault(section, {})[name] = value
        return found

    def source(self) -> DictConfig:
        """Return what our own settings are read from. A value that is not known here is missing."""
        known = {
            section: {name: text for name, text in options.items() if "${" not in text}
            for section, options in self.sections().items()
        }
        return DictConfig(known)

    def place_of(self, section: str, name: str) -> Literal["environment", "file", ""]:
        """Return where an option is set."""
        names = (name, *(name + ending for ending in _ENDINGS))
        if any(
            variable_of(section, one) in self.variables or variable_of(section, one) in self._unknown for one in names
        ):
            return "environment"
        in_file = self.file.values.get(section, {}) if self.file else {}
        return "file" if any(one in in_file for one in names) else ""

    def set(self, section: str, name: str, value: str) -> Configuration:
        """Return the configuration with an option, changed where it is set now; a new one goes where others are."""
        place = self.place_of(section, name) or self._place_of_new()
        if place == "environment":
            return self._with_variable(variable_of(section, name), value)
        file = self.file or ConfigText("airflow.cfg", "")
        return replace(self, file=file.with_option(section, name, value))

    def unset(self, section: str, name: str) -> Configuration:
        """Return the configuration without an option, in the environment and in the file."""
        changed = self
        if variable_of(section, name) in self.variables:
            changed = changed._with_variable(variable_of(section, name), None)
        if changed.file and name in changed.file.values.get(section, {}):
            changed = replace(changed, file=changed.file.without_option(section, name))
        return changed

    def _place_of_new(self) -> Literal["environment", "file"]:
        """Return where new options go: to the place of ``[core] executor``, which has to change anyway."""
        place = self.place_of("core", "executor")
        if place:
            return place
        return "environment" if self.file is None else "file"

    def _with_variable(self, name: str, value: str | None) -> Configuration:
        if self.environment_file:
            return replace(self, environment_file=self.environment_file.with_variable(name, value))
        variables = {known: text for known, text in self.environment.items() if known != name}
        return replace(self, environment=variables | ({} if value is None else {name: value}))


def diff(old: Configuration, new: Configuration) -> str:
    """Return the changes of both files as a unified diff in which values of secrets are hidden; "" for none."""
    texts: list[tuple[str, str, str]] = []
    if new.file is not None:
        texts.append((new.file.name, old.file.text if old.file else "", new.file.text))
    if old.environment_file and new.environment_file:
        texts.append((old.environment_file.name, old.environment_file.text, new.environment_file.text))
    lines: list[str] = []
    for name, before, after in texts:
        lines += difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=2)
    return "\n".join(map(hide_line, lines))


def changed_variables(old: Configuration, new: Configuration) -> dict[str, str | None]:
    """Return the variables of the process that have to change, with their new values; ``None`` for "unset"."""
    if new.environment_file:
        return {}
    names = sorted({*old.environment, *new.environment})
    return {name: new.environment.get(name) for name in names if old.environment.get(name) != new.environment.get(name)}


def hide_line(line: str) -> str:
    """Return a line of a diff (its first character says what changed) without passwords and other secrets."""
    if line.startswith(("---", "+++", "@@")):
        return line
    line = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", line)
    match = _SECRET.fullmatch(line)
    is_shown = match is None or line[1:2] == "#" or _URL.fullmatch(match["value"])
    return line if match is None or is_shown else f"{match['before']}{HIDDEN}"
