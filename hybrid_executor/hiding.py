"""Removes secrets from texts of others: errors of Redis, of a broker, of an API server. Pure.

Such errors may quote secrets: redis-py quotes the command of a pipeline with its arguments, ``http.client`` a header,
an API server the arguments of a pod. Our own texts hold no secrets.
"""

from __future__ import annotations

import re
import traceback

HIDDEN = "<hidden>"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # redis-py puts the command before the server's message; its arguments are messages and workloads.
    (re.compile(r"Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL), ""),
    (re.compile(r"(\bBearer\s+)[^\s'\"\\]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # The field "token" of a workload, with any quotes.
    (re.compile(r"""(\\*["']token\\*["']\s*:\s*\\*["'])[^"'\\]+"""), rf"\1{HIDDEN}"),
    # A JSON Web Token, complete or truncated.
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"), HIDDEN),
    # The body of a message on a Redis list, in base64.
    (re.compile(r"[A-Za-z0-9+/]{120,}={0,2}"), HIDDEN),
)


def hide_secrets(text: str) -> str:
    """Return ``text`` without bearer tokens, workloads' tokens, JSON Web Tokens, and messages."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def without_secrets(error: BaseException) -> BaseException:
    """Remove secrets from the texts of an error, so that it can be logged, and return it."""
    error.args = tuple(hide_secrets(part) if isinstance(part, str) else part for part in error.args)
    return error


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error without secrets."""
    return hide_secrets("".join(traceback.format_exception(error))).rstrip()
