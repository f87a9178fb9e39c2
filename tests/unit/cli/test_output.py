"""What commands print."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
import yaml

from hybrid_executor.cli.output import Column, Output, output_of
from hybrid_executor.cli.output import Format as FormatName
from hybrid_executor.states import State

LONG = "exceeded quota: compute-resources, requested: pods=1, used: pods=20, limited: pods=20, in namespace etl"
ROWS = [
    {"name": "a", "attempts": 12, "queues": ["etl", "default"], "note": LONG, "hidden": True},
    {"name": "b[0]", "attempts": 3, "queues": [], "note": None, "hidden": False},
]
COLUMNS = ("name", Column("attempts", "live", is_number=True), "queues", "note")


@dataclass(frozen=True)
class Found:
    state: State
    at: datetime
    ids: frozenset[str]
    places: tuple[str, ...] = ()


def printed(format_name: FormatName, *, width: int = 80) -> tuple[Output, io.StringIO]:
    file = io.StringIO()
    output = Output(format_name, file=file)
    output.console.width = width
    return output, file


def test_a_table_fits_80_columns_and_loses_no_text() -> None:
    output, file = printed("table")
    output.rows(ROWS, COLUMNS, title="Attempts")
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].strip() == "Attempts"
    last_column = " ".join(line[lines[1].index("note") :].strip() for line in lines[1:])
    assert LONG in last_column
    assert "b[0]" in file.getvalue()
    assert "hidden" not in file.getvalue()


def test_plain_output_is_one_line_for_each_row_however_long() -> None:
    output, file = printed("plain")
    output.rows([*ROWS, {"name": "c", "attempts": 1, "queues": ["q"], "note": "two\nlines"}], COLUMNS)
    head, first, second, third = file.getvalue().splitlines()
    assert head.split() == ["name", "live", "queues", "note"]
    assert first.split()[:3] == ["a", "12", "etl,default"]
    assert first.endswith(LONG)
    assert second.split() == ["b[0]", "3"]
    assert third.endswith("two lines")


@pytest.mark.parametrize("format_name", ["json", "yaml"])
def test_programs_get_every_field_of_every_row(format_name: FormatName) -> None:
    output, file = printed(format_name)
    output.rows(ROWS, COLUMNS, title="Attempts")
    assert yaml.safe_load(file.getvalue()) == ROWS


def test_values_of_our_own_become_plain_ones() -> None:
    output, file = printed("json")
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    output.data({"found": Found(State.RUNNING, moment, frozenset({"b", "a"}), ("x",))})
    expected = {"state": "running", "at": "2026-01-02T00:00:00+00:00", "ids": ["a", "b"], "places": ["x"]}
    assert json.loads(file.getvalue()) == {"found": expected}


def test_nothing_to_show_is_said_in_words_to_people_and_is_an_empty_list_for_programs() -> None:
    for format_name, expected in (("table", "No workers.\n"), ("plain", "No workers.\n"), ("json", "[]\n")):
        output, file = printed(format_name)  # type: ignore[arg-type]
        output.rows([], COLUMNS, empty="No workers.")
        assert file.getvalue() == expected


def test_pairs_leave_out_what_is_not_known() -> None:
    output, file = printed("table")
    output.pairs({"state": "running", "worker": "w@h", "pod": "", "node": None, "tries": 0}, title="Attempt")
    assert [line.split() for line in file.getvalue().splitlines()] == [
        ["Attempt"],
        ["state", "running"],
        ["worker", "w@h"],
        ["tries", "0"],
    ]


@pytest.mark.parametrize("format_name", ["table", "plain"])
def test_a_control_character_in_a_message_does_not_reach_the_terminal(format_name: FormatName) -> None:
    output, file = printed(format_name)
    output.rows([{"note": "\x1b[2Jgone"}], ["note"])
    output.pairs({"note": "\x1b]0;title\x07"})
    output.words("\x1b[31mred [bold]")
    assert "\x1b" not in file.getvalue()
    assert "\x07" not in file.getvalue()
    assert "red [bold]" in file.getvalue()


def test_json_is_short_for_the_format_json() -> None:
    assert output_of(Namespace(json=True, output="table")).format == "json"
    assert output_of(Namespace(json=False, output="yaml")).format == "yaml"
    assert output_of(Namespace()).format == "table"
