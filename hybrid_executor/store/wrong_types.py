"""Keys of the contract that hold a value of another type: how they are recognised and reported.

Such a key fails the one attempt that needs it, with the reason. An index that all attempts share is deleted and created
again by the scripts. Redis reports it with the error code WRONGTYPE.
"""

from __future__ import annotations

from enum import IntEnum

from hybrid_executor.store.refusals import code_of


class WrongType(IntEnum):
    """Why an attempt could not be submitted; the numbers are those of ``submit.lua``."""

    RECORD = -1
    QUEUE = -2
    LAUNCHES = -3


_HOLDS = {WrongType.RECORD: "record", WrongType.QUEUE: "list of messages", WrongType.LAUNCHES: "stream of launches"}


def is_wrong_type(error: object) -> bool:
    """Return whether an answer is Redis' error that a key holds a value of another type."""
    return isinstance(error, Exception) and code_of(error) == "WRONGTYPE"


def words_for(wrong_type: WrongType, key: str) -> str:
    """Return the reason for a person."""
    return (
        f"The Redis key {key} holds a value that is not a {_HOLDS[wrong_type]}: find out what writes it, delete the "
        f"key (redis-cli DEL '{key}'), and clear the task."
    )


def checked_answers(answers: list[object]) -> list[object]:
    """Return a pipeline's answers; errors about a key that holds another type stay among them.

    :raises redis.RedisError: the first other error.
    """
    for answer in answers:
        if isinstance(answer, Exception) and not is_wrong_type(answer):
            raise answer
    return answers
