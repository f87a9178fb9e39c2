"""``python -m benchmarks.page bench.json``: write the page of the documentation that shows one result, with plots."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.limits import find_limits, schedulers_per_core
from benchmarks.sides import ROOT
from benchmarks.table import number

_PAGE = ROOT / "docs" / "figures.md"
_HEAD = """# Measured figures

This page is written by a program from one run of the benchmarks. What each row means, and how to run them yourself, is
in [Benchmarks](../benchmarks/README.md). Compare numbers of one run only. To make this page for your own machine:

```bash
make bench BENCH_ARGS="--json bench.json"
make bench-page
```

## Machine and versions

"""
_LIMITS = """
## Where a part reaches its limit

A part that does nothing but its work for tasks uses one core. The CPU time of a task tells how many tasks a second that
is. Tasks here do nothing: longer tasks cost workers more, and everything else about the same. Real deployments reach
each limit earlier, as one core is never used alone and always.

| part | CPU time of a task | tasks a second | at the limit |
|---|---|---|---|
"""


def main(arguments: list[str]) -> int:
    """Write the page and its plots."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    result = json.loads(Path(arguments[0]).read_text(encoding="ascii"))
    from benchmarks.plots import draw

    plots = draw(result, _PAGE.parent / "images")
    _PAGE.write_text(write_page(result, {title: path.name for title, path in plots.items()}), encoding="utf-8")
    print(_PAGE.relative_to(ROOT))
    return 0


def write_page(result: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Return the page as Markdown.

    :param plots: names of files in ``docs/images`` by what they show.
    """
    parts = [_HEAD, *(f"* {name}: {value}\n" for name, value in result["machine"].items())]
    parts += [f"* {note}\n" for note in result.get("notes", ())]
    if plots:
        parts.append("\n## Plots\n")
        parts += [f"\n![{title}](images/{name})\n" for title, name in plots.items()]
    parts.append("\n## All numbers\n\n`ratio` says how many times better ours is than upstream's.\n")
    benchmark = ""
    for row in result["rows"]:
        if row["benchmark"] != benchmark:
            benchmark = row["benchmark"]
            head = f"\n### {benchmark}\n\n| metric | unit | ours | upstream | ratio | limit | budget | kept |\n"
            parts.append(head + "|---|---|--:|--:|--:|--:|---|---|\n")
        parts.append(_line(row))
    limits = find_limits(result["rows"])
    if limits:
        parts.append(_LIMITS)
        parts += [
            f"| {one.part.name} | {_time(one.cost_seconds)} | {one.per_second:,.0f} | {one.part.remedy} |\n"
            for one in limits
        ]
    if (several := schedulers_per_core(limits)) is not None:
        parts.append(
            f"\nA scheduler uses {several:.1f} times as much CPU time for a task as PostgreSQL. So a PostgreSQL with n "
            f"cores\nbears about {several:.1f} x n schedulers that are at their limit.\n"
        )
    return "".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    ratio = f"{row['ratio']:,.1f}x" if row["ratio"] is not None else ""
    kept = {True: "yes", False: "**no**", None: ""}[row["is_ok"]]
    budget = row["budget"].replace("<=", "≤").replace(">=", "≥")
    values = (number(row["ours"]), number(row["upstream"]), ratio, number(row["limit"]), budget, kept)
    return f"| {row['metric']} | {row['unit']} | {' | '.join(values)} |\n"


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.0f} ms"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
