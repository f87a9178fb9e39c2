"""Where a worker's log goes and what it looks like."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import Any

from celery import signals  # type: ignore[import-untyped]
from celery.apps import worker as celery_worker  # type: ignore[import-untyped]


def set_up_output(*, json_logs: bool, splits_errors: bool, level: str) -> None:
    """Log as Airflow's other components do.

    :param splits_errors: errors go to standard error, the rest to standard output.
    :param level: the lowest level that Celery's part of the log is to show, in capital letters.
    """
    from airflow.sdk.log import configure_logging

    configure_logging(output=sys.stdout.buffer, json_output=json_logs)
    for handler in logging.getLogger().handlers:
        handler.setLevel(min(handler.level, logging.getLevelName(level)))
    if json_logs:
        celery_worker.safe_say = _say_as_json
    if splits_errors:
        signals.after_setup_logger.connect(_split, weak=False)


def give_files_the_same_format() -> None:
    """Let the log file of a worker in the background look as its standard output does."""
    handlers = logging.getLogger().handlers
    for handler in handlers[1:]:
        handler.setFormatter(handlers[0].formatter)


def _split(logger: logging.Logger, **_: Any) -> None:
    for handler in list(logger.handlers):
        if type(handler) is logging.StreamHandler:
            errors = logging.StreamHandler(sys.stderr)
            errors.setLevel(logging.ERROR)
            errors.setFormatter(handler.formatter)
            handler.addFilter(lambda record: record.levelno < logging.ERROR)
            logger.addHandler(errors)


def _say_as_json(message: str, file: Any = sys.__stderr__) -> None:
    """Write what Celery logs in its signal handlers, where only a plain write is safe."""
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    line = {"timestamp": now, "level": "info", "event": message, "logger": celery_worker.__name__}
    try:
        os.write(file.fileno(), json.dumps(line).encode() + b"\n")
    except OSError:
        return  # a message that cannot be written must not keep the worker from ending
