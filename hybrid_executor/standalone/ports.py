"""Free ports on 127.0.0.1."""

from __future__ import annotations

import socket


def choose_port(preferred: int | None = None) -> int:
    """Return ``preferred`` if it is free, else any free port."""
    if preferred and _is_free(preferred):
        return preferred
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether something on this machine accepts connections on ``port``."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    if is_listening(port):
        return False
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
