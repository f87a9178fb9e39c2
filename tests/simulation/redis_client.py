"""redis-py's client, with the way to a server of the simulation in place of its connections."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import redis
from redis import exceptions
from redis.client import Pipeline

RoundTrip = Callable[[Sequence[Sequence[Any]]], list[Any]]
"""Sends commands and returns the answers, errors among them; raises where the connection broke."""

_CLASSES = {
    "READONLY": exceptions.ReadOnlyError,
    "OOM": exceptions.OutOfMemoryError,
    "LOADING": exceptions.BusyLoadingError,
    "MASTERDOWN": exceptions.MasterDownError,
    "NOSCRIPT": exceptions.NoScriptError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOPERM": exceptions.NoPermissionError,
}


def error_of(text: str) -> exceptions.ResponseError | exceptions.ConnectionError:
    """Return what redis-py makes of an error reply: it removes the code where it has a class for it."""
    code, _, rest = text.partition(" ")
    kind = _CLASSES.get(code)
    return exceptions.ResponseError(text.removeprefix("ERR ")) if kind is None else kind(rest)


class SimulatedPipeline(Pipeline):
    """Sends all its commands at once."""

    def __init__(self, client: SimulatedRedis) -> None:
        self._client = client  # and nothing of redis-py's own, which takes longer than all else of a short pipeline
        self.command_stack = []

    def __del__(self) -> None:
        """There is no connection to give back."""

    def execute_command(self, *arguments: Any, **options: Any) -> SimulatedPipeline:
        self.command_stack.append((arguments, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self.command_stack = self.command_stack, []
        answers = self._client.exchange(commands)
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def reset(self) -> None:
        self.command_stack = []


class SimulatedRedis(redis.Redis):
    """A client whose round trips the simulation makes."""

    _round_trip: RoundTrip

    @classmethod
    def connect(cls, round_trip: RoundTrip) -> SimulatedRedis:
        """Return a client. Each is a copy of one, since redis-py takes long to make it."""
        client = copy.copy(_blank())
        client._round_trip = round_trip
        return client

    def __del__(self) -> None:
        """There is no connection to close."""

    def close(self) -> None:
        """There is no connection to close."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> SimulatedPipeline:
        return SimulatedPipeline(self)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        answer = self.exchange([(arguments, options)])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def exchange(self, commands: Sequence[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        """Send commands and return their answers as redis-py gives them."""
        if not commands:
            return []
        answers = self._round_trip([arguments for arguments, _ in commands])
        return [
            self._parsed(answer, arguments[0], options)
            for answer, (arguments, options) in zip(answers, commands, strict=True)
        ]

    def _parsed(self, answer: Any, name: Any, options: dict[str, Any]) -> Any:
        if isinstance(answer, Exception):
            return error_of(str(answer))
        parse = _parser(name)
        if parse is None:
            return answer
        return parse(answer, **{k: v for k, v in options.items() if k != "keys"}) if options else parse(answer)


@cache
def _parser(name: str) -> Callable[..., Any] | None:
    """Return what redis-py makes of the answers to a command, None for what leaves them as they are."""
    parser: Callable[..., Any] | None = _blank().response_callbacks.get(name)
    return parser


@cache
def _blank() -> SimulatedRedis:
    return SimulatedRedis(protocol=2, decode_responses=True)
