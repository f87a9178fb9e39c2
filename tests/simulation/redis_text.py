"""How Redis writes values as texts."""

from __future__ import annotations

from typing import Any


def text_of(value: Any) -> str:
    """Return a value as a client sends it."""
    if type(value) is int:
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value if isinstance(value, str) else str(value)
