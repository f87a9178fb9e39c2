"""Every error this project raises on purpose, one class per thing a caller does differently.

A message tells the reader what to set or run. Messages never hold a token, a payload or a password.
"""

from __future__ import annotations

from hybrid_executor.hiding import hide_secrets


class HybridError(Exception):
    """Root of all errors raised by this project. What it is told is cleaned of secrets, since it may quote others."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*(hide_secrets(part) if isinstance(part, str) else part for part in parts))


class ConfigError(HybridError):
    """A setting is missing or wrong. Callers stop: nothing but a changed configuration helps."""


class StoreUnavailable(HybridError):
    """Redis could not be asked. Callers keep their work and ask again later; it never means "no data"."""


class StoreRefused(StoreUnavailable):
    """Redis answers, and refuses what it was asked: it is full, read-only, loading, ... It may serve us again later.

    :ivar code: the server's error code, such as "READONLY".
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class StoreForbidden(StoreRefused, ConfigError):
    """Redis refuses user, password or a permission.

    A process that starts stops, as for any wrong setting. One that runs waits as in any outage: somebody is changing
    the user, and its work must not be lost meanwhile.
    """


class KeyMisused(HybridError):
    """A Redis key of ours holds a value of another type. What needs this key waits or fails; all else goes on."""


class TaskRejected(HybridError):
    """One task cannot be run as it is described (template, executor_config, hook, refused pod). Only it fails."""


class KubeError(HybridError):
    """The Kubernetes API answered with an error, or could not be reached.

    :ivar status: HTTP status, 0 when there was no answer.
    :ivar reason: the API server's machine-readable reason ("AlreadyExists", "Forbidden", ...), may be "".
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class KubeUnavailable(KubeError):
    """No answer, or 429 or 5xx: ask again.

    :ivar retry_after_seconds: how long the server asks to wait; 0 when it did not say.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class KubeGone(KubeError):
    """HTTP 410, or a 410 ERROR event: the resource version is too old. List again; never retry the version."""
