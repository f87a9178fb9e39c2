"""Redis' protocol over a socket, with neither threads, locks nor clocks: those of Python belong to the simulation."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from tests.simulation.redis_streams import ReplyError
from tests.simulation.redis_text import text_of

_ENCODING, _ERRORS = "utf-8", "surrogateescape"  # what DUMP answers is no text, and comes back as it was


class Wire:
    """One connection. An error is an answer, whose text begins with the code."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        """End it."""
        self._answers.close()
        self._socket.close()

    def ask(self, *words: Any) -> Any:
        """Send a command and return its answer.

        :raises ReplyError: the answer is an error.
        """
        [answer] = self.ask_all([words])
        if isinstance(answer, ReplyError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands at once and return their answers."""
        self._socket.sendall(b"".join(map(_packed, commands)))
        return [self.receive() for _ in commands]

    def receive(self) -> Any:
        """Wait for one answer, or one message of a subscription."""
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, text = line[:1], line[1:-2].decode(_ENCODING, _ERRORS)
        if kind == b"+":
            return text
        if kind == b"-":
            return ReplyError(text)
        count = int(text)
        if kind == b":":
            return count
        if count < 0:
            return None
        if kind == b"*":
            return [self.receive() for _ in range(count)]
        return self._answers.read(count + 2)[:-2].decode(_ENCODING, _ERRORS)


def _packed(words: Sequence[Any]) -> bytes:
    texts = [text_of(word).encode(_ENCODING, _ERRORS) for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
