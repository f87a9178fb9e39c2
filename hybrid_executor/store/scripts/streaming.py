"""Runs of scripts that are sent one by one: the server works on one while the next is made and on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import redis
from redis.exceptions import ResponseError


def stream(client: redis.Redis, commands: Iterator[list[Any]]) -> list[Any]:
    """Send commands as they come, then read all answers, errors of single commands among them.

    Over a connection that breaks, all are sent again, as often as the client tries again: they must be safe to repeat.

    :raises redis.RedisError: the answers could not be read.
    """
    make_single: Any = client.client
    with make_single() as single:
        connection = single.connection
        sent: list[Any] = []

        def exchange() -> list[Any]:
            # A check of the connection would take the answer to an earlier command for its own.
            for number, packed in enumerate(sent):
                connection.send_packed_command(packed, check_health=number == 0)
            for command in commands:
                packed = connection.pack_command(*command)
                sent.append(packed)
                connection.send_packed_command(packed, check_health=len(sent) == 1)
            return [_answer(connection.read_response) for _ in sent]

        try:
            answers: list[Any] = connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        except BaseException:
            connection.disconnect()  # there may be answers that nobody has read
            raise
    return answers


def _answer(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ResponseError as error:
        return error
