"""What an operation did to one item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one item.

    :ivar item: the name of a worker or agent, or the id of an attempt.
    :ivar is_done: the item is as the operation wants it; it may have been so before.
    :ivar words: what was done, or why it was not.
    """

    item: str
    is_done: bool
    words: str

    def __str__(self) -> str:
        return f"{self.item}: {self.words}"


Report = Callable[[Done], object]
"""Called with each item as soon as it is known what became of it."""


def tell_nobody(_: Done) -> None:
    """Report nothing: the result of the operation says it all."""
