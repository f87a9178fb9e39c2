"""Takes secrets out of texts that others wrote: errors of Redis, of a broker, of an API server. Pure.

Errors quote what they are about: redis-py the command of a pipeline with its arguments, ``http.client`` a header, an
API server a pod's arguments. Our own texts hold no secrets; these are cleaned where they become text of ours.
"""

from __future__ import annotations

import re
import traceback

HIDDEN = "<hidden>"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # What redis-py puts before the server's words: the command, whose arguments are messages and workloads.
    (re.compile(r"Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL), ""),
    (re.compile(r"(\bBearer\s+)[^\s'\"\\]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # The field of a workload, whatever quoting it stands in.
    (re.compile(r"""(\\*["']token\\*["']\s*:\s*\\*["'])[^"'\\]+"""), rf"\1{HIDDEN}"),
    # A JSON Web Token, whole or cut off.
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
    """Clean the texts that an error holds, and return it; whoever logs it later shows none."""
    error.args = tuple(hide_secrets(part) if isinstance(part, str) else part for part in error.args)
    return error


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, as it may be logged."""
    return hide_secrets("".join(traceback.format_exception(error))).rstrip()
