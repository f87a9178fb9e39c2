"""The decoders of what a supervisor tells its task are made once, before the worker forks.

The Task SDK makes two of them in each task's process, of all kinds of messages: milliseconds of processor time on what
no task differs in.

Promises: they are those that the Task SDK makes by itself, for its own class alone and where its caller gives no
others. Where that class looks different from what is expected, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid_workers.supervision import Method, add_to_method

_DECODERS = ("body_decoder", "err_decoder")


def keep_decoders(channel: type | None = None) -> bool:
    """Let the processes that are forked from this one have the decoders of this one.

    :param channel: the Task SDK's class of a task's connection to its supervisor; found by itself by default.
    :return: whether it could be done.
    """
    import attrs

    channel = channel or _find_channel()
    if channel is None or not attrs.has(channel):
        return False
    fields = attrs.fields_dict(channel)
    makers = {name: _maker(fields.get(name)) for name in _DECODERS}
    if not all(makers.values()):
        return False
    kept = {name: make() for name, make in makers.items() if make}

    def giving(make_channel: Method) -> Method:
        def init(self: Any, *args: Any, **named: Any) -> None:
            make_channel(self, *args, **(named if args else {**kept, **named}))

        return init

    return add_to_method(channel, "__init__", giving)


def _find_channel() -> type | None:
    try:
        from airflow.sdk.execution_time.comms import CommsDecoder
    except ImportError:
        return None
    return CommsDecoder


def _maker(field: Any) -> Callable[[], object] | None:
    """Return what makes a field's value where none is given, None where there is no such function or field."""
    default: Any = field.default if field is not None and field.init else None
    return None if getattr(default, "takes_self", True) else default.factory
