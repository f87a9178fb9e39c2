"""Messages between slots, nursery and parsed parents: JSON with file descriptors, each in one piece."""

from __future__ import annotations

import json
import os
import select
import socket
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

MOST_BYTES = 128 * 1024
_MOST_DESCRIPTORS = 8


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends that keep the bounds of messages; several processes may share an end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
    """Send a message; return whether that was possible at once."""
    data = json.dumps(message).encode()
    if len(data) > MOST_BYTES:
        return False
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
    try:
        end.sendmsg([data], [rights], socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def receive(end: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return the next message and its descriptors, ``None`` for the end of all messages.

    :raises BlockingIOError: there is none yet, and the end does not block.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(end, MOST_BYTES, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None, []
    return (json.loads(data), descriptors) if data else (None, descriptors)


def is_readable(descriptor: int, seconds: float | None) -> bool:
    """Wait until there is something to read, or the end; ``None`` waits for as long as it takes."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0, seconds) * 1000))


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors; what is closed already is passed over."""
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            continue
