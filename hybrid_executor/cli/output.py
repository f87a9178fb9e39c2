"""What commands print: tables for people, and JSON, YAML or plain columns for scripts.

Promises: a table fits the terminal, or 80 columns where there is none. There are colours only on a terminal, and not
where ``NO_COLOR`` is set. A control character in the data never reaches the terminal.

A command makes one :class:`Output` of its arguments (``OUTPUT`` and ``JSON`` in its table). If :attr:`Output.is_data`,
it hands everything to :meth:`Output.data`; otherwise it shows rows, pairs and sentences.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hybrid_executor.insight.plain import to_plain

Format = Literal["table", "json", "yaml", "plain"]
Row = Mapping[str, Any]
_GAP = 3
_LEAST_WIDTH = 8

BAD, WARN, GOOD, DIM = "bold red", "yellow", "green", "dim"
"""Styles of words about something that has failed, needs attention, is well, or matters less."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    :ivar key: of the rows' values. A value that is a list is shown with commas.
    :ivar title: what stands above; the key if "".
    :ivar is_number: aligned at the right.
    :ivar style: returns the style of a row's cell, "" for none.
    """

    key: str
    title: str = ""
    is_number: bool = False
    style: Callable[[Row], str] | None = None


class Output:
    """Prints what a command has found, in the format that was asked for.

    :param file: where to; standard output if missing.
    :param is_terminal: the file's text ends on a terminal; found out if missing.
    """

    def __init__(
        self, format_name: Format = "table", *, file: IO[str] | None = None, is_terminal: bool | None = None
    ) -> None:
        self.format = format_name
        self.console = Console(
            file=file, highlight=False, markup=False, emoji=False, force_terminal=is_terminal, soft_wrap=False
        )
        self._has_printed = False

    @property
    def is_data(self) -> bool:
        """The result is printed as a whole, for programs: JSON or YAML."""
        return self.format in ("json", "yaml")

    def data(self, value: object) -> None:
        """Print a value as JSON or YAML; dataclasses become objects."""
        plain = to_plain(value)
        if self.format == "yaml":
            import yaml

            text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(plain, indent=2) + "\n"
        self.console.file.write(text)

    def rows(
        self,
        rows: Sequence[Row],
        columns: Sequence[Column | str],
        *,
        title: str = "",
        empty: str = "",
        below: str = "",
    ) -> None:
        """Print rows: all of them as JSON or YAML with all their fields, or the given columns as a table.

        :param columns: a text is a column with that key and title.
        :param empty: what to say in place of a table without rows.
        :param below: key of a long text, which a table shows in full width below its row; plain output has it as the
            last column.
        """
        if self.is_data:
            self.data(rows)
            return
        if not rows:
            self.words(empty)
            return
        shown = [Column(column) if isinstance(column, str) else column for column in columns]
        if self.format == "plain":
            self._plain(rows, [*shown, Column(below)] if below else shown, title=title)
            return
        self._head(title)
        widths = self._widths(rows, shown)
        table = _table(shown, widths)
        for row in rows:
            table.add_row(*(_cell(column, row) for column in shown))
            text = text_of(row.get(below)) if below else ""
            if text:
                self.console.print(table)
                self.words(text, indent=4, style=DIM)
                table = _table(shown, widths, show_header=False)
        if table.row_count:
            self.console.print(table)
        self._has_printed = True

    def pairs(self, pairs: Mapping[str, object], *, title: str = "", indent: int = 0) -> None:
        """Print names with their values, one per line; those whose value is "" or ``None`` are left out."""
        if self.is_data:
            self.data(dict(pairs))
            return
        known = {name: text_of(value) for name, value in pairs.items() if value not in ("", None)}
        if self.format == "plain":
            for name, text in known.items():
                self._write(f"{name}  {text}")
            return
        self._head(title)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style=DIM)
        grid.add_column(overflow="fold")
        for name, text in known.items():
            grid.add_row(name, Text(text))
        self.console.print(Padding(grid, (0, 0, 0, indent or 2 * bool(title)), expand=False))
        self._has_printed = True

    def words(self, text: str, *, style: str = "", indent: int = 0, mark: str = "") -> None:
        """Print a sentence, wrapped; nothing for "", and nothing where the result is data.

        :param mark: stands before it; the lines that follow begin below its text.
        """
        if not text or self.is_data:
            return
        if self.format == "plain":
            self._write(_one_line(mark + text))
            return
        if mark:
            grid = Table.grid()
            grid.add_column(width=cell_len(mark))
            grid.add_column()
            grid.add_row(mark, Text(printable(text), style=style))
            self.console.print(Padding(grid, (0, 0, 0, indent), expand=False))
            self._has_printed = True
            return
        self.console.print(Padding(Text(printable(text), style=style), (0, 0, 0, indent), expand=False))
        self._has_printed = True

    def gap(self) -> None:
        """Print an empty line between two parts of a page; nothing before the first, or where the result is data."""
        if self._has_printed and not self.is_data:
            self.console.file.write("\n")

    def _head(self, title: str) -> None:
        if title:
            self.gap()
            self.console.print(Text(title, style="bold"))

    def _widths(self, rows: Sequence[Row], columns: Sequence[Column]) -> list[int]:
        """Return widths that fit the screen together: the widest columns are made smaller first."""
        lines = [[column.title or column.key for column in columns]]
        lines += [[text_of(row.get(column.key)) for column in columns] for row in rows]
        widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
        while sum(widths) + _GAP * (len(widths) - 1) > self.console.width and max(widths) > _LEAST_WIDTH:
            widths[widths.index(max(widths))] -= 1
        return widths

    def _plain(self, rows: Sequence[Row], columns: Sequence[Column], *, title: str) -> None:
        """Print aligned columns without lines: one row is one line, however long."""
        if title:
            self.gap()
            self._write(title)
        lines = [[column.title or column.key for column in columns]]
        lines += [[_one_line(text_of(row.get(column.key))) for column in columns] for row in rows]
        widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
        for line in lines:
            padded = [text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True)]
            self._write("  ".join(padded).rstrip())

    def _write(self, line: str) -> None:
        self.console.file.write(printable(line) + "\n")
        self._has_printed = True


def output_of(args: Namespace) -> Output:
    """Return the output that a command's arguments ask for; ``--json`` is short for ``-o json``."""
    return Output("json" if getattr(args, "json", False) else getattr(args, "output", None) or "table")


def text_of(value: object) -> str:
    """Return a value as a cell shows it: "" for nothing, yes or no, a list with commas."""
    plain = to_plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if isinstance(plain, list):
        return ",".join(text_of(item) for item in plain)
    return printable(str(plain))


def printable(text: str) -> str:
    """Return a text without control characters, which could change what the terminal shows."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)


def _table(columns: Sequence[Column], widths: Sequence[int], *, show_header: bool = True) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=show_header)
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title or column.key, justify=justify, overflow="fold", width=width)
    return table


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))


def _cell(column: Column, row: Row) -> Text:
    return Text(text_of(row.get(column.key)), style=column.style(row) if column.style else "")
