"""Counts how often this process sends something to Redis and to the database, and so waits for an answer."""

from __future__ import annotations

from typing import Any

import redis
from sqlalchemy import event
from sqlalchemy.engine import Engine


class RoundTrips:
    """Counts from entering to leaving.

    :ivar redis: sends of redis-py; a pipeline is one.
    :ivar database: statements.
    """

    def __init__(self) -> None:
        self.redis = 0
        self.database = 0
        self._send = redis.connection.AbstractConnection.send_packed_command

    def __enter__(self) -> RoundTrips:
        send = self._send

        def counted(connection: Any, *arguments: Any, **options: Any) -> Any:
            self.redis += 1
            return send(connection, *arguments, **options)

        redis.connection.AbstractConnection.send_packed_command = counted  # type: ignore[assignment,method-assign]
        event.listen(Engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._count)
        redis.connection.AbstractConnection.send_packed_command = self._send  # type: ignore[method-assign]

    def _count(self, *_: Any) -> None:
        self.database += 1
