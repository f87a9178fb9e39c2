"""The output of the demo: a live table on a terminal, lines elsewhere, and the summary at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hybrid_executor.demo.rows import Row

_STYLES = {
    "success": "green",
    "succeeded": "green",
    "failed": "red",
    "up_for_retry": "yellow",
    "deferred": "magenta",
    "running": "cyan",
    "lost": "red",
    "revoked": "red",
}


class Screen(Protocol):
    """Shows the progress; a context manager."""

    def say(self, line: str) -> None:
        """Show a line of our own."""

    def show(self, rows: Sequence[Row], *, headline: str) -> None:
        """Show the current attempts."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_screen(console: Console, *, is_live: bool) -> Screen:
    """Return a screen that redraws itself, or one that prints a line for each change."""
    return LiveScreen(console) if is_live else LineScreen(console)


class LiveScreen:
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Show a line above the table."""
        self._console.print(line, soft_wrap=True)

    def show(self, rows: Sequence[Row], *, headline: str) -> None:
        """Draw the newest rows that fit on the screen."""
        fitting = max(5, self._console.height - 7)
        shown = build_table(rows[-fitting:], title=headline) if rows else Text(headline, style="dim")
        self._live.update(shown, refresh=True)


class LineScreen:
    """One line per change of an attempt."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._shown: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> LineScreen:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, line: str) -> None:
        """Show a line."""
        self._print(line)

    def show(self, rows: Sequence[Row], *, headline: str) -> None:
        """Print the attempts whose state or place has changed."""
        for row in rows:
            if self._shown.get(row.attempt) != (row.state, row.where):
                self._shown[row.attempt] = (row.state, row.where)
                waited = f"  {row.seconds_to_running:.1f} s after queued" if row.seconds_to_running is not None else ""
                name = f"{row.dag_id}.{row.task} (try {row.try_number})"
                note = f"  ({row.note})" if row.note and row.state == "failed" else ""
                place = f"{row.queue:>10} -> {_target(row):<14}"
                self._print(f"{name:<40} {place} {row.state:<12} {row.where}{waited}{note}")

    def _print(self, line: str) -> None:
        self._console.print(f"{time.monotonic() - self._begun:6.1f} s  {line}", soft_wrap=True, markup=False)


def build_table(rows: Sequence[Row], *, title: str) -> Table:
    """Return rows as a table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    has_many_dags = len({row.dag_id for row in rows}) > 1
    table.add_column("task", no_wrap=True)
    table.add_column("try", justify="right", min_width=3)
    table.add_column("queue", no_wrap=True)
    table.add_column("pool", no_wrap=True)
    table.add_column("worker or pod", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("state", no_wrap=True)
    table.add_column("to running", justify="right", no_wrap=True)
    for row in rows:
        waited = "" if row.seconds_to_running is None else f"{row.seconds_to_running:.1f} s"
        table.add_row(
            f"{row.dag_id}.{row.task}" if has_many_dags else row.task,
            str(row.try_number),
            row.queue,
            _target(row),
            row.where,
            Text(row.state, style=_STYLES.get(row.state, "dim")),
            waited,
        )
    return table


def _target(row: Row) -> str:
    return f"{row.pool}:{row.profile}" if row.profile else row.pool
