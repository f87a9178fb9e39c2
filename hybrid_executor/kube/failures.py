"""Answers and exceptions of the Kubernetes API, translated into this project's errors: once, here.

Pure. Messages have the request, the status and the server's own message, and never a token.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3.exceptions

from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable
from hybrid_executor.hiding import hide_secrets

UNAUTHORIZED = 401
_MAX_MESSAGE = 1000
_REJECTED = (
    "credentials expired or rejected. They are loaded again; if this goes on, renew the token, certificate or exec "
    "plugin of the kubeconfig or service account"
)
_REASONS = {429: "TooManyRequests", 503: "ServiceUnavailable", 504: "Timeout"}


def error_of_answer(doing: str, *, status: int, headers: Mapping[str, str], body: bytes) -> KubeError:
    """Return the error for an answer outside 2xx.

    The body is a Status object, or plain text: a busy API server answers 429 without any JSON.

    :param doing: what was asked for, such as ``create pod airflow/x``.
    """
    content = _status_object(body)
    retry_after = _seconds(headers.get("Retry-After", ""))
    if content is None:
        text = body.decode("utf-8", "replace").strip()
        return _error(doing, status=status, reason="", text=text, retry_after=retry_after)
    details = content.get("details")
    if isinstance(details, dict):
        retry_after = max(retry_after, _seconds(str(details.get("retryAfterSeconds", ""))))
    return _error(
        doing,
        status=status,
        reason=str(content.get("reason") or ""),
        text=str(content.get("message") or ""),
        retry_after=retry_after,
    )


def error_of_status(doing: str, content: Mapping[str, Any]) -> KubeError:
    """Return the error for a Status object that came inside a 200 watch stream (an ERROR event)."""
    code = content.get("code")
    return _error(
        doing,
        status=code if isinstance(code, int) else 500,
        reason=str(content.get("reason") or ""),
        text=str(content.get("message") or ""),
        retry_after=0.0,
    )


def error_of_silence(doing: str, cause: BaseException) -> KubeUnavailable:
    """Return the error for a call without an answer: refused, reset, timed out, or the certificate is not trusted."""
    told = cause
    if isinstance(cause, urllib3.exceptions.MaxRetryError) and cause.reason is not None:
        told = cause.reason  # without the long URL of the request
    text = " ".join(str(told).split()) or type(told).__name__
    advice = ""
    if is_broken_file(cause, untrusted=False):
        advice = " Check the files of CA, certificate and key that the kubeconfig or service account names."
    if "CERTIFICATE_VERIFY_FAILED" in text:
        advice = " Set [kubernetes_executor] ssl_ca_cert to the cluster's CA file, or fix the kubeconfig."
    return KubeUnavailable(_clean(f"{doing}: no answer from the Kubernetes API: {text}") + advice)


def is_broken_file(cause: BaseException | None, *, untrusted: bool = True) -> bool:
    """Return whether a call failed because a file of CA, certificate or key is missing, unreadable or wrong.

    :param untrusted: count a TLS handshake that failed: it may be that CA or certificate were replaced.
    """
    kinds: tuple[type[BaseException], ...] = (FileNotFoundError, PermissionError)
    if untrusted:
        kinds += (ssl.SSLError, urllib3.exceptions.SSLError)
    return any(isinstance(link, kinds) for link in _chain(cause))


def is_refused_connection(cause: BaseException | None) -> bool:
    """Return whether nobody answers at the server's address: it may have moved."""
    kinds = (ConnectionRefusedError, urllib3.exceptions.NewConnectionError)
    return any(isinstance(link, kinds) for link in _chain(cause))


def _chain(cause: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes, wherever urllib3 keeps them."""
    for _ in range(10):
        if cause is None:
            return
        yield cause
        inner = [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]
        cause = next((link for link in inner if isinstance(link, BaseException)), None)


def _error(doing: str, *, status: int, reason: str, text: str, retry_after: float) -> KubeError:
    reason = reason or _REASONS.get(status, "")
    head = f"{doing}: HTTP {status}" + (f" {reason}" if reason else "")
    if status == UNAUTHORIZED:
        text = f"{_REJECTED}. The server says: {text}" if text else _REJECTED
    message = _clean(f"{head}: {text}" if text else head)
    if status == 410:
        return KubeGone(message, status=status, reason=reason)
    if status == 429 or status >= 500:
        return KubeUnavailable(message, status=status, reason=reason, retry_after_seconds=retry_after)
    return KubeError(message, status=status, reason=reason)


def _status_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) and content.get("kind") == "Status" else None


def _seconds(text: str) -> float:
    """Return a Retry-After value; API servers send whole seconds, anything else counts as 0."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def _clean(text: str) -> str:
    # An immutable-field error quotes the pod's spec, and the spec's arguments hold the workload and its token.
    text = hide_secrets(text)
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3] + "..."
