"""The text of an ``airflow.cfg``: its values, and changes of single lines that leave all others as they are. Pure."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from hybrid_executor.errors import ConfigError

_SECTION = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<name>[^\s#;\[=:][^=:]*?)(?P<sign>\s*[=:]\s?)(?P<value>.*)")


@dataclass(frozen=True)
class _Place:
    """Where an option is: its lines, from ``first`` to before ``end``, counted from 0."""

    section: str
    name: str
    first: int
    end: int
    written: str
    sign: str
    value: str


@dataclass(frozen=True)
class ConfigText:
    """A configuration file. The methods with ``with_`` and ``without_`` return a changed one.

    :ivar name: its path, for messages.
    """

    name: str
    text: str

    def check(self) -> None:
        """Check that Airflow could read the file.

        :raises ConfigError: it could not; the message has the line.
        """
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(self.text, source=self.name)
        except configparser.Error as error:
            words = " ".join(str(error).split())
            raise ConfigError(f"{self.name} cannot be read: {words}. Fix the file.") from error

    @cached_property
    def values(self) -> dict[str, dict[str, str]]:
        """Section, option and value, as Airflow reads them (``%%`` means ``%``)."""
        found: dict[str, dict[str, str]] = {section: {} for section in self.sections}
        for place in self._places():
            found.setdefault(place.section, {})[place.name] = place.value.replace("%%", "%")
        return found

    @cached_property
    def sections(self) -> tuple[str, ...]:
        """The sections in the order of the file, in lower case."""
        found = (_SECTION.match(line) for line in self.text.splitlines())
        return tuple(match["name"].lower() for match in found if match)

    def with_option(self, section: str, name: str, value: str) -> ConfigText:
        """Return the file with an option: changed where it stands, else added to its section, else at the end."""
        lines = self.text.splitlines()
        value = value.replace("%", "%%")
        places = [place for place in self._places() if place.section == section]
        for place in reversed(places):
            if place.name == name:
                comments = _comments(lines[place.first : place.end])
                lines[place.first : place.end] = [*comments, f"{place.written}{place.sign or ' = '}{value}"]
                return self._of(lines)
        new = f"{name} = {value}"
        if places:
            lines.insert(places[-1].end, new)
        elif section in self.sections:
            header = next(i for i, line in enumerate(lines) if _is_header(line, section))
            lines.insert(header + 1, new)
        else:
            lines += ([""] if lines and lines[-1].strip() else []) + [f"[{section}]", new]
        return self._of(lines)

    def without_option(self, section: str, name: str) -> ConfigText:
        """Return the file without an option. Its comments stay."""
        lines = self.text.splitlines()
        for place in reversed(list(self._places())):
            if (place.section, place.name) == (section, name):
                lines[place.first : place.end] = _comments(lines[place.first : place.end])
        return self._of(lines)

    def with_section_named(self, old: str, new: str) -> ConfigText:
        """Return the file with another name in a section's header."""
        lines = [f"[{new}]" if _is_header(line, old) else line for line in self.text.splitlines()]
        return self._of(lines)

    def _of(self, lines: list[str]) -> ConfigText:
        return ConfigText(self.name, "\n".join(lines) + "\n")

    def _places(self) -> Iterator[_Place]:
        """Find options as :mod:`configparser` does: a value goes on in lines that begin with white space."""
        lines = self.text.splitlines()
        section, index = "", 0
        while index < len(lines):
            line = lines[index]
            if header := _SECTION.match(line):
                section, index = header["name"].lower(), index + 1
                continue
            option = _OPTION.match(line)
            if not option:
                index += 1
                continue
            end = _end_of_value(lines, index)
            further = [one.strip() for one in lines[index + 1 : end] if not one.strip().startswith(("#", ";"))]
            value = "\n".join([option["value"].strip(), *further]).strip()
            yield _Place(
                section, option["name"].strip().lower(), index, end, option["name"].strip(), option["sign"], value
            )
            index = end


def _end_of_value(lines: list[str], first: int) -> int:
    end = first + 1
    for index in range(first + 1, len(lines)):
        line = lines[index]
        if not line.strip() or line.strip().startswith(("#", ";")):
            continue
        if not line[0].isspace():
            break
        end = index + 1
    return end


def _comments(lines: list[str]) -> list[str]:
    """Return the comments between the lines of a value."""
    return [line.strip() for line in lines if line.strip().startswith(("#", ";"))]


def _is_header(line: str, section: str) -> bool:
    match = _SECTION.match(line)
    return bool(match) and match is not None and match["name"].lower() == section
