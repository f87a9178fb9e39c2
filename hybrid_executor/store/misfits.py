"""Keys of ours that hold a value of another type: what is said of them.

Such a key ends the one attempt that needs it, with the reason; an index that all attempts share is made anew by the
scripts. Redis tells of it by the error code WRONGTYPE.
"""

from __future__ import annotations

from enum import IntEnum

from hybrid_executor.store.refusals import code_of


class Misfit(IntEnum):
    """Why an attempt could not be submitted; the numbers are those of ``submit.lua``."""

    RECORD = -1
    QUEUE = -2
    LAUNCHES = -3


_HOLDS = {Misfit.RECORD: "record", Misfit.QUEUE: "list of messages", Misfit.LAUNCHES: "stream of launches"}


def is_misfit(error: object) -> bool:
    """Return whether an answer is Redis' error that a key holds a value of another type."""
    return isinstance(error, Exception) and code_of(error) == "WRONGTYPE"


def words_for(misfit: Misfit, key: str) -> str:
    """Return the reason for a person."""
    return (
        f"The Redis key {key} holds a value that is no {_HOLDS[misfit]}: find out what writes it, delete the key "
        f"(redis-cli DEL '{key}'), and clear the task."
    )
