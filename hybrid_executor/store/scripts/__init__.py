"""The Lua scripts, each one state change, and the way to run them.

A script is sent by its digest; a server that does not know it (restarted, failed over, flushed) is taught it and asked
again, one by one for what it refused, so that a pipeline never runs anything twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float
Call = tuple[Sequence[str], Sequence[Argument]]
"""Keys and arguments of one run of a script."""


@cache
def load_script(name: str) -> tuple[str, str]:
    """Return source and SHA-1 digest of the script ``name`` (without ``.lua``), with what stands before all scripts."""
    folder = resources.files(__name__)
    source = "".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("own", name))
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def run_script(client: redis.Redis, name: str, call: Call) -> Any:
    """Run one script once and return its answer."""
    return run_scripts(client, [(name, call)])[0]


def run_scripts(client: redis.Redis, calls: Iterable[tuple[str, Call]]) -> list[Any]:
    """Run many scripts in one round trip, in order; return their answers.

    :raises redis.RedisError: the first error that a script answered with, after all have run.
    """
    wanted = list(calls)
    if not wanted:
        return []
    answers = _send(client, wanted)
    unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        for name in {wanted[index][0] for index in unknown}:
            client.script_load(load_script(name)[0])
        for index, answer in zip(unknown, _send(client, [wanted[i] for i in unknown]), strict=True):
            answers[index] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _send(client: redis.Redis, calls: Sequence[tuple[str, Call]]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    for name, (keys, arguments) in calls:
        pipeline.execute_command("EVALSHA", load_script(name)[1], len(keys), *keys, *arguments)
    return list(pipeline.execute(raise_on_error=False))
