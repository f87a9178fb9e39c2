"""The decoders of what a supervisor tells its task are made once, before the worker forks.

The Task SDK makes two of them in each task's process, of all kinds of messages: milliseconds of processor time on what
no task differs in.

Promises: they are those that the Task SDK makes by itself, for its own class alone and where its caller gives no
others. Where that class looks different from what is expected, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hybrid_workers.supervision import Method, add_to_method, find_class

_DECODERS = ("body_decoder", "err_decoder")


def keep_decoders(channel: type | None = None) -> bool:
    """Let the processes that are forked from this one have the decoders of this one.

    :param channel: the Task SDK's class of a task's connection to its supervisor; found by itself by default.
    :return: whether it could be done.
    """
    import attrs

    channel = channel or find_class("CommsDecoder", "comms")
    if channel is None or not attrs.has(channel):
        return False
    fields = attrs.fields_dict(channel)
    makers = {name: maker for name in _DECODERS if (maker := _maker(fields.get(name)))}
    return len(makers) == len(_DECODERS) and add_to_method(channel, "__init__", partial(_giving, makers))


def _giving(makers: Mapping[str, Callable[[], object]], make_channel: Method) -> Method:
    kept = {name: make() for name, make in makers.items()}

    def init(self: Any, *args: Any, **named: Any) -> None:
        make_channel(self, *args, **(named if args else {**kept, **named}))

    return init


def _maker(field: Any) -> Callable[[], object] | None:
    """Return what makes a field's value where none is given, None where there is no such function or field."""
    default: Any = field.default if field is not None and field.init else None
    return None if getattr(default, "takes_self", True) else default.factory
