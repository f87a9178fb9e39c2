"""Which pods are left over: they ended long ago, or are pending for too long. Pure.

Promises: a pod that runs, or whose end has no time, is never left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Age:
    """The age from which a pod is left over, counted from its end, or from its creation if it is pending."""

    pending: timedelta
    completed: timedelta


def why_left_over(pod: Mapping[str, Any], age: Age, *, now: datetime) -> str:
    """Return why a pod may be deleted, as text; "" if it may not.

    A failed pod that its kubelet would start again has not ended; one that was evicted has, whatever its policy.
    """
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return ""
    phase = status.get("phase") or ""
    created = _time(metadata.get("creationTimestamp"))
    if phase == "Pending" and created is not None and now - created > age.pending:
        return f"pending for {_minutes(now - created)}"
    if not _has_ended(pod, phase):
        return ""
    ended = max(_ends_of(status), default=created)
    if ended is None or (age.completed and now - ended <= age.completed):
        return ""
    words = " ".join(word for word in (phase.lower(), status.get("reason") or "") if word)
    return f"{words}, ended {_minutes(now - ended)} ago"


def _has_ended(pod: Mapping[str, Any], phase: str) -> bool:
    if phase == "Succeeded":
        return True
    if phase != "Failed":
        return False
    never_again = (pod.get("spec") or {}).get("restartPolicy") == "Never"
    return never_again or (pod.get("status") or {}).get("reason") == "Evicted"


def _ends_of(status: Mapping[str, Any]) -> Iterator[datetime]:
    for part in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(part) or ():
            terminated = (container.get("state") or {}).get("terminated") or {}
            if ended := _time(terminated.get("finishedAt")):
                yield ended
    for condition in status.get("conditions") or ():
        if changed := _time(condition.get("lastTransitionTime")):
            yield changed


def _time(text: object) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
