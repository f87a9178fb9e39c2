"""Hides secrets in a worker's log, in the messages of all libraries.

Celery, kombu and redis-py quote messages where they cannot deliver them, at any level and in tracebacks.
"""

from __future__ import annotations

import logging
from typing import Any

from hybrid_executor.hiding import hide_secrets

_FORMATTER = logging.Formatter()


def hide_secrets_in_logs() -> None:
    """Clean all that is logged in this process, and in those forked from it, from now on. Safe to repeat."""
    make = logging.getLogRecordFactory()
    if make is not _make_record:
        global _make_next
        _make_next = make
        logging.setLogRecordFactory(_make_record)


_make_next: Any = logging.LogRecord


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record: logging.LogRecord = _make_next(*args, **kwargs)
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        return record  # whoever shows it tells that it is no valid record
    cleaned = hide_secrets(text)
    if cleaned != text:
        record.msg, record.args = cleaned, ()
    if record.exc_info and record.exc_info[0] is not None:
        shown = _FORMATTER.formatException(record.exc_info)
        cleaned = hide_secrets(shown)
        if cleaned != shown:
            record.msg, record.args, record.exc_info = f"{record.getMessage()}\n{cleaned}", (), None
    return record
