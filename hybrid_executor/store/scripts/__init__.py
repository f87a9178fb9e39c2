"""The Lua scripts, each one state change, and the way to run them.

:mod:`~hybrid_executor.store.scripts.calls` is the table of what each script is given. A script is sent by its digest. A
server that does not know it (restarted, failed over, flushed) is sent its source, and what it refused is sent again, so
that a pipeline never runs anything twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import redis
from redis.exceptions import NoScriptError

from hybrid_executor.states import State
from hybrid_executor.store.keys import LUA_CONSTANTS, Key
from hybrid_executor.store.scripts.streaming import stream

Argument = str | int | float
Call = tuple[Any, ...]
"""One run of a script: an instance of a class in :mod:`~hybrid_executor.store.scripts.calls`."""

_KEY, _KEYS, _NUMBER, _FLAG, _STATES, _TEXTS, _TEXT = "key", "keys", "number", "flag", "states", "texts", "text"
_MANY = 100
_IN_LUA = {_NUMBER: "tonumber(ARGV[{}])", _FLAG: "ARGV[{}] == '1'"}


@dataclass(frozen=True)
class Script:
    """A script as the server gets it.

    :ivar slots: the kind of each argument, in the order of the table.
    """

    source: str
    digest: str
    slots: tuple[str, ...]


@cache
def load_script(table: type[Call]) -> Script:
    """Return the script of a class of the table, with what stands before all scripts and with its arguments named."""
    folder = resources.files(__name__)
    slots = {name: _slot_of(hint) for name, hint in get_type_hints(table).items()}
    shared, own = (
        folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in ("own", table.__name__.lower())
    )
    source = "\n".join([*_constants(), shared, *_locals(slots), own])
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), tuple(slots.values()))


def run_script(client: redis.Redis, call: Call) -> Any:
    """Run one script once and return its answer."""
    return run_scripts(client, [call])[0]


def run_scripts(client: redis.Redis, calls: Iterable[Call]) -> list[Any]:
    """Run many scripts in one round trip, in order; return their answers.

    :raises redis.RedisError: the first error that a script answered with, after all have run.
    """
    wanted = list(calls)
    return _complete(client, wanted, _send(client, wanted)) if wanted else []


def run_as_made(client: redis.Redis, calls: Iterable[Call]) -> list[Any]:
    """Run large scripts, in order, each sent as soon as it is made; return their answers.

    :raises redis.RedisError: as :func:`run_scripts`.
    """
    made: list[Call] = []

    def commands() -> Iterator[list[Argument]]:
        for call in calls:
            made.append(call)
            yield ["EVALSHA", load_script(type(call)).digest, *pack(call)]

    answers = stream(client, commands())
    return _complete(client, made, answers)


def _complete(client: redis.Redis, wanted: Sequence[Call], answers: list[Any]) -> list[Any]:
    """Return all answers: what the server refused because it did not know the script is run again."""
    unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        for table in {type(wanted[index]) for index in unknown}:
            client.script_load(load_script(table).source)
        for index, answer in zip(unknown, _send(client, [wanted[i] for i in unknown]), strict=True):
            answers[index] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    # Many that are refused for an unknown script would cost as much as many that run.
    loaded = {type(call) for call in calls} if len(calls) >= _MANY else set()
    for table in loaded:
        pipeline.execute_command("SCRIPT LOAD", load_script(table).source)
    for call in calls:
        pipeline.execute_command("EVALSHA", load_script(type(call)).digest, *pack(call))
    return list(pipeline.execute(raise_on_error=False))[len(loaded) :]


def pack(call: Call) -> list[Argument]:
    """Return the number of keys, the keys and the arguments, as ``EVALSHA`` takes them."""
    keys: list[Argument] = []
    arguments: list[Argument] = []
    for slot, value in zip(load_script(type(call)).slots, call, strict=True):
        if slot is _TEXT or slot is _NUMBER:
            arguments.append("" if value is None else value)
        elif slot is _KEY:
            if value is not None:
                keys.append(value)
        elif slot is _FLAG:
            arguments.append("1" if value else "0")
        elif slot is _STATES:
            arguments.append(_joined(value))
        elif slot is _TEXTS:
            arguments += value
        else:
            keys += value
    return [len(keys), *keys, *arguments]


@cache
def _joined(states: tuple[State, ...]) -> str:
    """Return states as ``is_among`` in ``own.lua`` takes them."""
    return "," + ",".join(state.value for state in states) + ","


def _slot_of(hint: Any) -> str:
    """Return the kind of an argument of this type."""
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        return _KEYS if element is Key else _STATES if element is State else _TEXTS
    kinds = set(get_args(hint) or (hint,)) - {NoneType}
    if Key in kinds:
        return _KEY
    if bool in kinds:
        return _FLAG
    return _NUMBER if kinds <= {int, float} else _TEXT


def _constants() -> Iterable[str]:
    """Yield the lines that give scripts the names that are part of keys."""
    return (f"local {name} = '{text}'" for name, text in LUA_CONSTANTS.items())


def _locals(slots: dict[str, str]) -> Iterable[str]:
    """Yield the lines that name keys and arguments."""
    key, argument = 1, 1
    for name, slot in slots.items():
        if slot is _KEY:
            yield f"local {name} = KEYS[{key}]"
            key += 1
        elif slot is _KEYS:
            yield f"local {name}_at = {key}"
        elif slot is _TEXTS:
            yield f"local {name}_at = {argument}"
        else:
            yield f"local {name} = {_IN_LUA.get(slot, 'ARGV[{}]').format(argument)}"
            argument += 1
