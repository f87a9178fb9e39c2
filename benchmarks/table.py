"""Shows rows as one table that is readable at 100 columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row

WIDTH = 100
_OK = {True: "yes", False: "NO", None: ""}


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for name in ("ours", "upstream", "ratio", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("budget", no_wrap=True)
    table.add_column("ok", no_wrap=True)
    benchmark = ""
    for row in rows:
        if row.benchmark != benchmark:
            benchmark = row.benchmark
            table.add_row(f"[bold]{benchmark}[/bold]")
        ratio = f"{row.ratio:.1f}x" if row.ratio is not None else ""
        numbers = (number(row.ours), number(row.upstream), ratio, number(row.limit))
        table.add_row(f"  {row.metric}", row.unit, *numbers, str(row.budget), _OK[row.is_ok])
    Console(file=sys.stdout, width=WIDTH, highlight=False).print(table)


def number(value: float | None) -> str:
    """Return a number with three digits that matter, "" for none."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
