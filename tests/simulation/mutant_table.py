"""The table of mutants in the documentation: after how many histories each was noticed when it was last measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.simulation.mutant import Mutant

_PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"
_HEAD = "| removed guard: what then happens | where | noticed after histories |\n|---|---|---|\n"


def update_table(mutants: Sequence[Mutant], found: Mapping[str, str]) -> None:
    """Write what was found into the table, by the names of mutants, and keep the other rows."""
    page = _PAGE.read_text(encoding="utf-8")
    begin = page.index(_HEAD)
    known = dict(map(_read_row, page[begin + len(_HEAD) :].splitlines()))
    rows = [
        f"| {mutant.name} | {_where(mutant)} | {_explained(mutant, after)} |\n"
        for mutant in mutants
        if (after := found.get(mutant.name) or known.get(mutant.name))
    ]
    _PAGE.write_text(page[:begin] + _HEAD + "".join(rows), encoding="utf-8")


def _read_row(line: str) -> tuple[str, str]:
    _, name, _, after, _ = line.split("|")
    return name.strip(), after.strip()


def _explained(mutant: Mutant, after: str) -> str:
    """Return the number, or after how many histories it was not noticed and why."""
    if after.isdecimal():
        return after
    number = after.partition(".")[0]
    by_test = f"`{mutant.test.rpartition('::')[2].partition('[')[0]}` notices it" if mutant.test else ""
    return ". ".join(part for part in (number, mutant.unseen_because, by_test) if part)


def _where(mutant: Mutant) -> str:
    return f"`{mutant.file.removeprefix('hybrid_executor/').removeprefix('workers/')}`"
