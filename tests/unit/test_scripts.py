"""The table of the Lua scripts: what it names is what a script gets."""

from __future__ import annotations

import inspect
import re
from importlib import resources

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store import Keys, scripts
from hybrid_executor.store.scripts import calls, load_script, pack

TABLE = [table for _, table in inspect.getmembers(calls, inspect.isclass) if issubclass(table, tuple)]
KEYS = Keys("test")
LUA = {
    path.name.removesuffix(".lua"): path.read_text()
    for path in resources.files(scripts).iterdir()
    if ".lua" in path.name
}


def test_each_script_has_its_class_and_each_class_its_script() -> None:
    assert {table.__name__.lower() for table in TABLE} == LUA.keys() - {"own"}


def test_no_script_counts_its_arguments_or_spells_a_terminal_state() -> None:
    for name, text in LUA.items():
        assert not re.search(r"(KEYS|ARGV)\[\d+\]", text), name
        assert not re.search("['\"](succeeded|failed|revoked)['\"]", text), name


def test_each_argument_is_a_local_variable_of_its_type() -> None:
    source = load_script(calls.Advance).source
    assert "local attempt_key = KEYS[1]\n" in source
    assert "local acknowledged_key = KEYS[5]\n" in source
    assert "local prefix = ARGV[1]\n" in source
    assert "local generation = tonumber(ARGV[5])\n" in source
    assert "local raises_generation = ARGV[6] == '1'\n" in source
    assert "local fields_at = 16\n" in source


def test_arguments_are_sent_in_the_order_of_the_table() -> None:
    call = calls.Adopt(
        attempt_key=KEYS.attempt("a"),
        owner_key=KEYS.owner("2"),
        prefix=KEYS.prefix,
        id=AttemptId("a"),
        owner=OwnerId("2"),
        live_seconds=60,
        terminal=TERMINAL_STATES,
    )
    keys = ["{hybrid:test}:attempt:a", "{hybrid:test}:owner:2"]
    assert pack(call) == [2, *keys, "{hybrid:test}:", "a", "2", 60, ",succeeded,failed,revoked,"]


def test_a_missing_key_is_left_out_and_a_missing_number_is_empty() -> None:
    call = calls.Advance(
        attempt_key=KEYS.attempt("a"),
        events_key=KEYS.events,
        payload_key=KEYS.payload("a"),
        overrides_key=KEYS.overrides("a"),
        acknowledged_key=None,
        prefix=KEYS.prefix,
        id=AttemptId("a"),
        to="running",
        sources=(),
        generation=None,
        raises_generation=True,
        may_park=False,
        is_terminal=False,
        is_started=True,
        kept_seconds=60,
        live_seconds=90,
        operation="",
        acknowledged_id="",
        only_pod="",
        needs_workload=False,
        fields=("holder", "w"),
    )
    count, *rest = pack(call)
    assert count == 4
    arguments = ["{hybrid:test}:", "a", "running", ",,", "", "1", "0", "0", "1", 60, 90, "", "", "", "0"]
    assert rest[4:] == [*arguments, "holder", "w"]
