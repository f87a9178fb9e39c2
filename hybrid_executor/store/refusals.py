"""Why Redis refuses a command, by the class and the code of its error. Nothing else interprets errors of Redis.

The first word of an error reply is its code. redis-py makes a class of some codes, and of which ones depends on its
release. It then removes the code from the text. For all other codes the text still begins with the code, behind what
redis-py's pipelines and the scripts of Redis 6.2 put in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from redis import exceptions

from hybrid_executor.errors import StoreForbidden, StoreRefused

_CLASSES: tuple[tuple[str, str], ...] = (
    # The name of the class, for older releases lack some of them; a class stands before the one it is made from.
    ("ReadOnlyError", "READONLY"),
    ("OutOfMemoryError", "OOM"),
    ("BusyLoadingError", "LOADING"),
    ("MasterDownError", "MASTERDOWN"),
    ("ClusterDownError", "CLUSTERDOWN"),
    ("TryAgainError", "TRYAGAIN"),
    ("MovedError", "MOVED"),
    ("AskError", "ASK"),
    ("NoPermissionError", "NOPERM"),
    ("NoScriptError", "NOSCRIPT"),
)
_WORDS = {
    "READONLY": "Redis refuses writes: it is a read-only replica",
    "OOM": "Redis refuses writes: maxmemory reached",
    "NOREPLICAS": "Redis refuses writes: fewer replicas are connected than min-replicas-to-write",
    "MISCONF": "Redis refuses writes: it cannot save its data to disk",
    "LOADING": "Redis is loading its data",
    "MASTERDOWN": "Redis refuses commands: it is a replica that has lost its primary",
    "NOMASTERLINK": "Redis refuses commands: it is a replica that has lost its primary",
    "BUSY": "Redis refuses commands: a script has been running for too long",
    "UNKILLABLE": "Redis refuses commands: a script has been running for too long",
    "CLUSTERDOWN": "Redis refuses commands: its cluster is down",
    "TRYAGAIN": "Redis refuses commands: its cluster is moving keys",
    "MOVED": "Redis refuses commands: it is a node of a cluster, and our keys are on another node",
    "ASK": "Redis refuses commands: its cluster is moving keys",
    "UNBLOCKED": "Redis ended a wait: its role has changed",
    "IOERR": "Redis cannot reach another server",
    "NOSCRIPT": "Redis does not keep the scripts that it is sent",
    "NOPERM": "Redis refuses a command: a permission is missing",
    "NOAUTH": "Redis refuses user or password",
    "WRONGPASS": "Redis refuses user or password",
}
_FORBIDDEN = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
_PIPELINE = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_SCRIPT = re.compile(r"Error running script \(call to f_[0-9a-f]{40}\): (?:@[\w ]+: ?\d+: )*")
_EXEC = re.compile(r"Transaction discarded because of: ")
_CODE = re.compile(r"-?([A-Z]{2,})(?= |$)")
# No server sends a code where it is a command inside a script that lacks a permission. The words of Redis, of Valkey.
_FORBIDDEN_IN_SCRIPT = ("The user executing the script can't ", "ACL failure in script: ")
_TOO_MANY_CLIENTS = "max number of clients reached"
_MOST_CAUSES = 8


def code_of(error: BaseException) -> str:
    """Return the error code of a reply of Redis, "" where it had none, or where this is no reply."""
    if not isinstance(error, exceptions.RedisError):
        return ""
    for name, code in _CLASSES:
        known = getattr(exceptions, name, None)
        if known is not None and isinstance(error, known):
            return code
    if isinstance(error, exceptions.AuthenticationError):
        return "NOAUTH"
    if not isinstance(error, exceptions.ResponseError):
        return ""
    text = text_of(error)
    if text.startswith(_FORBIDDEN_IN_SCRIPT):
        return "NOPERM"
    found = _CODE.match(text)
    return found.group(1) if found else ""


def text_of(error: BaseException) -> str:
    """Return the server's words, without what redis-py and scripts put in front: a command may hold a token."""
    text = str(error.args[0]) if error.args else ""
    for prefix in (_PIPELINE, _EXEC, _SCRIPT):
        found = prefix.match(text)
        text = text[found.end() :] if found else text
    return text


def refusal_of(error: BaseException) -> StoreRefused | None:
    """Return what a refusal means to callers, ``None`` for every other error.

    The causes of an error are looked at too: Celery and kombu wrap what they get from Redis.
    """
    for cause in _chain(error):
        code = code_of(cause)
        if code in _WORDS:
            kind = StoreForbidden if code in _FORBIDDEN else StoreRefused
            return kind(_say(code, cause), code=code)
        if isinstance(cause, exceptions.ConnectionError) and text_of(cause) == _TOO_MANY_CLIENTS:
            return StoreRefused("Redis refuses connections: its maxclients limit is reached", code="MAXCLIENTS")
        if isinstance(cause, exceptions.ExecAbortError):
            return StoreRefused("Redis refused a transaction", code="EXECABORT")
    return None


def explain(error: BaseException) -> str:
    """Return an error of Redis, or of what is built upon it, in words that hold no command and so no token."""
    refusal = refusal_of(error)
    return str(refusal) if refusal is not None else f"{type(error).__name__}: {text_of(error)}"


def _say(code: str, error: BaseException) -> str:
    """Return words for a person; only what a permission is missing for is in the server's words alone."""
    if code not in _FORBIDDEN:
        return f"{_WORDS[code]} ({code})"
    return (
        f"{_WORDS[code]} ({text_of(error)}): correct the user, its password or its ACL, or [hybrid_executor] redis_url "
        "([celery] broker_url where redis_url is not set)"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
