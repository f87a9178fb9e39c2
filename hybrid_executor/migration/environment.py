"""Environment variables of Airflow in a file: shell, ``.env``, a Compose file, or the values of a Helm chart. Pure.

Read are lines that hold a variable and its value: ``NAME=value``, ``export NAME=value``, ``- NAME=value``,
``NAME: value``, and the two lines ``- name: NAME`` and ``value: value``. All other lines are left alone, so the file
need not be understood as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

_VARIABLE = r"AIRFLOW__[A-Z0-9_]+?__[A-Z0-9_]+"
_ONE_LINE = re.compile(
    rf"(?P<before>\s*(?:-\s+)?(?:export\s+)?(?P<open>[\"']?))(?P<name>{_VARIABLE})"
    r"(?P<sign>[\"']?\s*=|[\"']?\s*:(?:\s|$)\s*)(?P<value>.*)"
)
_NAME_LINE = re.compile(rf"\s*(?:-\s+)?name\s*:\s*[\"']?(?P<name>{_VARIABLE})[\"']?\s*(?:#.*)?")
_BARE_LINE = re.compile(rf"\s*-\s+[\"']?(?P<name>{_VARIABLE})[\"']?\s*(?:#.*)?")
_VALUE_LINE = re.compile(r"(?P<before>\s*value\s*:\s*)(?P<value>.*)")
_DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")


@dataclass(frozen=True)
class _Place:
    """A variable: the line of its value, counted from 0, with what stands before and after the value."""

    name: str
    line: int
    before: str
    value: str
    after: str


@dataclass(frozen=True)
class EnvironmentText:
    """A file with environment variables. :meth:`with_variable` returns a changed one.

    :ivar name: its path, for messages.
    """

    name: str
    text: str

    @cached_property
    def variables(self) -> dict[str, str]:
        """The variables. The last value wins; ``${X:-value}`` counts as its default."""
        return {place.name: _DEFAULT.sub(r"\1", place.value) for place in self._places()}

    @cached_property
    def unknown(self) -> frozenset[str]:
        """Variables whose value is elsewhere: in a secret of Kubernetes, or in the environment of Compose."""
        lines = self.text.splitlines()
        named = (_NAME_LINE.fullmatch(line) or _BARE_LINE.fullmatch(line) for line in lines)
        return frozenset(match["name"] for match in named if match) - self.variables.keys()

    def with_variable(self, name: str, value: str | None) -> EnvironmentText:
        """Return the file with the variable changed wherever it is, or without those lines where ``value`` is None.

        A new variable is added after the last one, in the same form.
        """
        lines, places = self.text.splitlines(), list(self._places())
        found = [place for place in places if place.name == name]
        for place in reversed(found):
            if value is None:
                first = place.line if name in lines[place.line] else place.line - 1
                del lines[first : place.line + 1]
            else:
                lines[place.line] = f"{place.before}{_quoted(value, place.before)}{place.after}"
        if not found and value is not None:
            lines[_end_of(places) :] = [*_like(lines, places, name, value), *lines[_end_of(places) :]]
        return EnvironmentText(self.name, "\n".join(lines) + "\n")

    def _places(self) -> Iterator[_Place]:
        lines = self.text.splitlines()
        for index, line in enumerate(lines):
            if match := _ONE_LINE.match(line):
                before = line[: match.start("value")]
                in_item = bool(match["open"]) and match["sign"].endswith("=") and match["open"] not in match["sign"]
                yield _place(match["name"], index, before, match["value"], closing=match["open"] if in_item else "")
            elif (
                index + 1 < len(lines)
                and (match := _NAME_LINE.fullmatch(line))
                and (value := _VALUE_LINE.match(lines[index + 1]))
            ):
                yield _place(match["name"], index + 1, value["before"], value["value"], closing="")


def _place(name: str, line: int, before: str, rest: str, *, closing: str) -> _Place:
    """Separate a value from its quotes and from a comment after it."""
    rest = rest.rstrip()
    if closing and rest.endswith(closing):
        return _Place(name, line, before, rest[: -len(closing)], closing)
    if rest[:1] in ('"', "'") and rest.find(rest[0], 1) > 0:
        end = rest.find(rest[0], 1)
        return _Place(name, line, before + rest[0], rest[1:end], rest[end:])
    value, comment = (*re.split(r"(?=\s+#)", rest, maxsplit=1), "")[:2]
    return _Place(name, line, before, value, comment)


def _end_of(places: list[_Place]) -> int:
    return places[-1].line + 1 if places else 0


def _like(lines: list[str], places: list[_Place], name: str, value: str) -> list[str]:
    if not places:
        return [f"{name}={value}"]
    last = places[-1]
    if last.name in lines[last.line]:
        before, name_line = last.before.replace(last.name, name), []
    else:
        before, name_line = last.before, [lines[last.line - 1].replace(last.name, name)]
    return [*name_line, f"{before}{_quoted(value, before)}{re.sub('#.*', '', last.after).rstrip()}"]


def _quoted(value: str, before: str) -> str:
    """Return a value as YAML needs it: ``*`` at the beginning of an unquoted value has a meaning there."""
    is_yaml = before.rstrip().endswith(":")
    return f"'{value}'" if is_yaml and not re.fullmatch(r"[\w./][\w./:,@+-]*", value) else value


def split_variable(name: str) -> tuple[str, str]:
    """Return section and option of a variable such as ``AIRFLOW__CORE__EXECUTOR``."""
    section, _, option = name.removeprefix("AIRFLOW__").partition("__")
    return section.lower(), option.lower()


def variable_of(section: str, option: str) -> str:
    """Return the environment variable of an option."""
    return f"AIRFLOW__{section.upper()}__{option.upper()}"


def airflow_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that set options of Airflow."""
    return {name: value for name, value in environment.items() if re.fullmatch(_VARIABLE, name)}
