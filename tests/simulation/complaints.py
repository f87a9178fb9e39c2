"""What the product logs: lines of a history, and errors that it did not expect."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.world import World

_LOGGERS = ("hybrid_executor", "hybrid_workers")


class Complaints(logging.Handler):
    """Unexpected errors that were logged: each is a mistake, even where the code goes on."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG)
        self._world = world
        self.violations: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._world.say(f"[{record.levelname.lower()}] {message}")
        if record.exc_info:
            self.violations.append(f"unexpected error: {message}: {record.exc_info[1]!r}")


def prepare_loggers() -> None:
    """Let the product's loggers tell nobody but the running history, for the rest of this process."""
    logging._srcfile = None  # type: ignore[attr-defined] - no line says where it was logged, and to find that takes long
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Let a handler have what is logged."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
