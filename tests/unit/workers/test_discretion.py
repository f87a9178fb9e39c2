"""What a worker logs, whoever writes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from hybrid_workers.discretion import hide_secrets_in_logs

SECRET = "markedTokenThatNobodyMaySee"


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, list[str]]]:
    """A logger, and what it writes."""
    before, lines = logging.getLogRecordFactory(), []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    made = logging.getLogger("test.discretion")
    made.propagate, made.level = False, logging.DEBUG
    made.addHandler(Lines())
    hide_secrets_in_logs()
    hide_secrets_in_logs()
    yield made, lines
    logging.setLogRecordFactory(before)
    made.handlers.clear()


def test_a_secret_in_arguments_is_hidden_and_other_lines_stay(logger: tuple[logging.Logger, list[str]]) -> None:
    log, lines = logger
    log.critical("Could not restore message: %r", {"token": SECRET})
    log.debug("%s of %d", "one", 2)
    log.info("%(name)s", {"name": "by name"})
    assert lines == ["Could not restore message: {'token': '<hidden>'}", "one of 2", "by name"]


def test_a_secret_in_a_traceback_is_hidden(logger: tuple[logging.Logger, list[str]]) -> None:
    log, lines = logger
    for words in (f"Bearer {SECRET}", "harmless"):
        try:
            raise ValueError(words)
        except ValueError:
            log.exception("It failed")
    assert SECRET not in str(lines)
    assert all("Traceback" in line and "ValueError" in line for line in lines)
    assert lines[1].endswith("ValueError: harmless")


def test_a_record_that_is_not_valid_is_left_to_who_shows_it(logger: tuple[logging.Logger, list[str]]) -> None:
    log, _ = logger
    arguments: Any = (1, 2)
    with pytest.raises(TypeError, match="not all arguments converted"):
        log.info("%d", *arguments)
