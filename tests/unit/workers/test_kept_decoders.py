"""Tasks that are forked from one process decode with what that process has made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
from airflow.sdk.execution_time.comms import CommsDecoder
from pydantic import TypeAdapter

from hybrid_workers.kept_decoders import keep_decoders


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before: Any = CommsDecoder.__init__
    yield
    CommsDecoder.__init__ = before  # type: ignore[method-assign]


@contextmanager
def channel(of: Any = CommsDecoder, **named: Any) -> Iterator[Any]:
    with socket.socket() as end:
        yield of(socket=end, **named)


def test_without_it_each_process_makes_its_own() -> None:
    with channel() as one, channel() as other:
        assert one.body_decoder is not other.body_decoder


def test_all_have_the_decoders_that_the_task_sdk_makes() -> None:
    assert keep_decoders() is True
    assert keep_decoders() is True
    with channel() as one, channel(CommsDecoder[Any, Any], log="a logger") as other:
        assert one.body_decoder is other.body_decoder
        assert one.err_decoder is other.err_decoder
        assert other.log == "a logger"
        answer = other.body_decoder.validate_python({"type": "VariableResult", "key": "k", "value": "v"})
        assert (type(answer).__name__, answer.value) == ("VariableResult", "v")


def test_who_gives_others_gets_them() -> None:
    keep_decoders()
    given = TypeAdapter(int)
    with channel(body_decoder=given) as one:
        assert one.body_decoder is given


def test_a_class_with_decoders_of_its_own_keeps_them() -> None:
    keep_decoders()
    decoders: list[TypeAdapter[int]] = []

    @attrs.define
    class Other(CommsDecoder):  # type: ignore[type-arg]
        body_decoder: TypeAdapter[int] = attrs.field(factory=lambda: decoders[0])

    decoders.append(TypeAdapter(int))
    with channel(Other) as one:
        assert one.body_decoder is decoders[0]


@attrs.define
class _WithoutDecoders:
    log: str = ""


@attrs.define
class _WithOther:
    body_decoder: str = ""
    err_decoder: str = attrs.field(default=attrs.Factory(lambda self: self.body_decoder, takes_self=True))


class _OfAnotherKind:
    body_decoder = err_decoder = None


@pytest.mark.parametrize("other", [_WithoutDecoders, _WithOther, _OfAnotherKind])
def test_another_sdk_is_left_as_it_is(other: type[Any]) -> None:
    before = other.__init__
    assert keep_decoders(other) is False
    assert other.__init__ is before
