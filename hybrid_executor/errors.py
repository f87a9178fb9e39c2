"""All errors that this project raises on purpose: one class per reaction of the caller.

A message says what to set or to run. It never holds a token, a payload or a password.
"""

from __future__ import annotations

from hybrid_executor.hiding import hide_secrets


class HybridError(Exception):
    """Root of all errors of this project. Secrets are removed from its message, since it may quote other errors."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*(hide_secrets(part) if isinstance(part, str) else part for part in parts))


class ConfigError(HybridError):
    """A setting is missing or wrong. Callers stop: only a changed configuration helps."""


class StoreUnavailable(HybridError):
    """Redis did not answer. Callers keep their work and retry later. It never means "no data"."""


class StoreRefused(StoreUnavailable):
    """Redis answers, but refuses the command: it is full, read-only, loading, ... Callers retry later.

    :ivar code: the server's error code, such as "READONLY".
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class StoreForbidden(StoreRefused, ConfigError):
    """Redis refuses the user, the password or a permission.

    While a process starts, this is a wrong setting, and it stops. A running process waits, as if Redis were
    unavailable: somebody may be changing the user, and no work must be lost.
    """


class KeyMisused(HybridError):
    """One of our Redis keys holds a value of the wrong type. Only work that needs this key waits or fails."""


class TaskRejected(HybridError):
    """One task cannot run as described (template, executor_config, hook, refused pod). Only this task fails."""


class KubeError(HybridError):
    """The Kubernetes API answered with an error, or did not answer.

    :ivar status: HTTP status; 0 if there was no answer.
    :ivar reason: the API server's reason for programs ("AlreadyExists", "Forbidden", ...); may be "".
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class KubeUnavailable(KubeError):
    """No answer, 429 or 5xx: retry.

    :ivar retry_after_seconds: how long the server asks to wait; 0 if it did not say.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class KubeGone(KubeError):
    """HTTP 410, or a 410 ERROR event: the resource version is too old. List again, and never retry this version."""
