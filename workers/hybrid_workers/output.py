"""Where a worker's log goes and what it looks like."""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery import signals  # type: ignore[import-untyped]
from celery.app.defaults import DEFAULT_TASK_LOG_FMT  # type: ignore[import-untyped]
from celery.app.log import TaskFormatter  # type: ignore[import-untyped]


def set_up_output(*, json_logs: bool, splits_errors: bool) -> None:
    """Log as Airflow's other components do.

    :param splits_errors: errors go to standard error, the rest to standard output.
    """
    from airflow.sdk.log import configure_logging

    configure_logging(output=sys.stdout.buffer, json_output=json_logs)
    if splits_errors:
        signals.after_setup_logger.connect(_split, weak=False)


def _split(logger: logging.Logger, **_: Any) -> None:
    formatter = TaskFormatter(DEFAULT_TASK_LOG_FMT)
    lower, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    lower.addFilter(lambda record: record.levelno < logging.ERROR)
    errors.setLevel(logging.ERROR)
    for handler in (lower, errors):
        handler.setFormatter(formatter)
    logger.handlers[:] = [lower, errors]
