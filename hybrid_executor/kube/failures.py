"""Answers and exceptions of the Kubernetes API, translated into this project's errors: once, here.

Pure. Messages carry what was being done, the status and the server's own words, and never a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable

_MAX_MESSAGE = 1000
# An immutable-field error quotes the pod's spec, and the spec's arguments hold the workload's token (a JWT).
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
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
    """Return the error for a call that got no answer: refused, reset, timed out, not trusted."""
    text = " ".join(str(cause).split()) or type(cause).__name__
    advice = ""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        advice = " Set [kubernetes_executor] ssl_ca_cert to the cluster's CA file, or mend the kubeconfig."
    return KubeUnavailable(_clean(f"{doing}: no answer from the Kubernetes API: {text}") + advice)


def _error(doing: str, *, status: int, reason: str, text: str, retry_after: float) -> KubeError:
    reason = reason or _REASONS.get(status, "")
    head = f"{doing}: HTTP {status}" + (f" {reason}" if reason else "")
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
    """Return a Retry-After value; API servers send whole seconds, anything else counts as not said."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def _clean(text: str) -> str:
    text = _TOKEN.sub("<hidden>", text)
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3] + "..."
