"""One table row per option, and the way to read it.

Promises: a wrong value is a :class:`ConfigError` that names section, option, value and what is allowed. An option that
is not declared to Airflow can be read too, because every row has its own default. Values are never logged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hybrid_executor.errors import ConfigError

OptionType = Literal["str", "int", "float", "bool", "json", "list"]

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def parse_bool(text: str) -> bool:
    """Return the truth value that a text means, in any case of letters.

    :raises ValueError: it is none of true, t, yes, y, on, 1, false, f, no, n, off and 0.
    """
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


class ConfigSource(Protocol):
    """A configuration: Airflow's ``conf``, or a dict of a test.

    :ivar team: whose it is; "" for all teams.
    """

    team: str

    def get(self, section: str, key: str, *, fallback: Any = None) -> Any:
        """Return the option's text, or ``fallback`` if it is not set."""

    def options(self, section: str) -> dict[str, str]:
        """Return every option that is set in ``section``, for sections that accept any option."""

    def is_set(self, section: str, key: str) -> bool:
        """Return whether a person has set the option, and it is no default."""


class DictConfig:
    """A configuration held in ``{section: {option: text}}``, for tests and for commands that do not use Airflow's."""

    def __init__(self, sections: dict[str, dict[str, str]] | None = None, *, team: str = "") -> None:
        self._sections = sections or {}
        self.team = team

    def get(self, section: str, key: str, *, fallback: Any = None) -> Any:
        """Return the option's text, or ``fallback``."""
        return self._sections.get(section, {}).get(key, fallback)

    def options(self, section: str) -> dict[str, str]:
        """Return the section's options."""
        return dict(self._sections.get(section, {}))

    def is_set(self, section: str, key: str) -> bool:
        """Return whether the option is there."""
        return key in self._sections.get(section, {})


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its section and name, its type and limits, and its meaning.

    :ivar type: ``json`` is a JSON object, read as a dict; ``list`` is comma-separated text, read as a tuple of
        stripped, non-empty strings.
    :ivar unit: unit of a number, for the docs ("seconds", "pods").
    :ivar allowed: the values that a ``str`` may have; empty means any.
    :ivar sensitive: the value may hold a password and is never shown.
    """

    section: str
    name: str
    type: OptionType
    default: str
    description: str
    unit: str = ""
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    sensitive: bool = False

    def read(self, conf: ConfigSource) -> Any:
        """Return the option's value from ``conf`` in its type; ``""`` and unset both mean the default.

        :raises ConfigError: the text cannot be read as the option's type, or is out of its range.
        """
        raw = conf.get(self.section, self.name, fallback=self.default)
        text = self.default if raw is None or str(raw).strip() == "" else str(raw).strip()
        if text == "":
            return {"json": {}, "list": (), "str": ""}.get(self.type)
        try:
            value = self._parse(text)
        except ValueError:
            raise self.error(text, self._expectation()) from None
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise self.error(text, f"a number of at least {self.minimum:g}")
        if self.maximum is not None and isinstance(value, int | float) and value > self.maximum:
            raise self.error(text, f"a number of at most {self.maximum:g}")
        if self.allowed and value not in self.allowed:
            raise self.error(text, "one of " + ", ".join(self.allowed))
        return value

    def error(self, text: str, expected: str) -> ConfigError:
        """Return the error for the value ``text``; it says what is ``expected``."""
        shown = "<hidden>" if self.sensitive else repr(text)
        return ConfigError(f"[{self.section}] {self.name} = {shown} is not valid: write {expected}.")

    def _parse(self, text: str) -> Any:
        if self.type == "int":
            return int(text)
        if self.type == "float":
            return float(text)
        if self.type == "bool":
            return parse_bool(text)
        if self.type == "json":
            value = json.loads(text)
            if not isinstance(value, dict):
                raise ValueError(text)
            return value
        if self.type == "list":
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text

    def _expectation(self) -> str:
        return {
            "int": "a whole number",
            "float": "a number",
            "bool": "True or False",
            "json": "a JSON object, such as {}",
            "list": "comma-separated names",
            "str": "text",
        }[self.type]
