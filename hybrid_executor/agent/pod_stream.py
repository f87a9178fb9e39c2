"""Watch events of pods, taken in by the batch: duplicates dropped, the rest diagnosed and recorded.

Promises: costs little for what says nothing new; the version it returns covers only events that are recorded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from hybrid_executor.agent.deletion import PodRemover
from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.pod_memory import PodMemory
from hybrid_executor.agent.pod_recorder import PodRecorder
from hybrid_executor.agent.pull_patience import PullPatience
from hybrid_executor.agent.sighting import Sighting, sight_safely
from hybrid_executor.agent.verdicts import wants_events
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError, StoreUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.publish import DEFAULT_PATIENCE_SECONDS
from hybrid_executor.store import Attempts

log = logging.getLogger(__name__)

_WAITS_LONG_SECONDS = 20.0
_ASK_AGAIN_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 2.0
_MOST_QUESTIONS = 5  # at each look: a thousand pods that wait must not become a thousand requests


class PodStream:
    """Takes in the events of one watch.

    :param ownership: tells our pods from those of another deployment; None where all are ours.
    :param place: what is watched, for people.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        attempts: Attempts,
        recorder: PodRecorder,
        remover: PodRemover,
        settings: KubernetesSettings,
        ownership: Ownership | None = None,
        place: str = "",
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    ) -> None:
        self.memory = PodMemory()
        self._client = client
        self._attempts = attempts
        self._recorder = recorder
        self._remover = remover
        self._settings = settings
        self._ownership = ownership
        self._place = place
        self._patience = PullPatience(patience_seconds, fatal_reasons=settings.fatal_pending_reasons)
        self._waiting: dict[str, PodIdentity] = {}
        self._next_look = 0.0

    def forget_all(self) -> None:
        """Begin anew, as a watcher that knows nothing."""
        self.memory = PodMemory()
        self._patience.forget_all()
        self._waiting.clear()

    def take_in(self, events: Sequence[dict[str, Any]]) -> str:
        """Record what events say; return the version to resume from, "" where none of them had one.

        :raises StoreUnavailable: nothing of it counts as taken in.
        """
        version = ""
        news: list[Sighting] = []
        last: dict[str, Sighting] = {}
        seen_now: list[Sighting] = []
        fatal_reasons = self._settings.fatal_pending_reasons
        for event in events:
            pod, event_type = event.get("object") or {}, event.get("type", "")
            version = (pod.get("metadata") or {}).get("resourceVersion") or version
            if event_type == "BOOKMARK":
                continue
            seen = sight_safely(pod, event_type=event_type, fatal_pending_reasons=fatal_reasons)
            if seen is not None:
                seen_now.append(seen)
        if self._ownership is not None:
            seen_now = self._ownership.own(seen_now, place=self._place)
        for seen in seen_now:
            seen = self._patience.judge(seen, now=time.monotonic())
            before = last.get(seen.identity.uid)
            if self.memory.is_news(seen) if before is None else seen.diagnosis != before.diagnosis:
                news.append(seen)
            last[seen.identity.uid] = seen
        if news:
            self._recorder.record(news)
        self._remember(last)
        return version

    def record_due(self) -> None:
        """Record verdicts that waited for their pod's node or for a log.

        :raises StoreUnavailable: Redis could not be asked; they wait on.
        """
        self._recorder.record_due()

    def ask_for_reasons(self) -> None:
        """Read the cluster's events about pods that wait long without saying why, a few at a time.

        Pods that waited for a busy registry long enough fail now.

        :raises StoreUnavailable: Redis could not be asked.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_SECONDS
        if overdue := self._patience.overdue(now=now):
            self._recorder.record(overdue)
            self._patience.settled(overdue)
        questions = 0
        for uid, identity in self._waiting.items():
            seen = self.memory.find(uid)
            if seen is None or now - seen.waiting_since < _WAITS_LONG_SECONDS:
                continue
            if now - seen.asked_at < _ASK_AGAIN_SECONDS:
                continue
            seen.asked_at = now
            questions += 1
            self._remover.run_soon(lambda identity=identity: self._ask(identity))  # type: ignore[misc]
            if questions == _MOST_QUESTIONS:
                return

    def _remember(self, batch: dict[str, Sighting]) -> None:
        now = time.monotonic()
        for uid, sighting in batch.items():
            if sighting.is_gone:
                self.memory.forget(uid)
                self._waiting.pop(uid, None)
                continue
            self.memory.remember(sighting, now=now)
            if wants_events(sighting.diagnosis):
                self._waiting[uid] = sighting.identity
            else:
                self._waiting.pop(uid, None)

    def _ask(self, identity: PodIdentity) -> None:
        """Put the last warning about a waiting pod into its record's note."""
        try:
            events = self._client.list_pod_events(identity.namespace, identity.name)
            words = last_warning(events)
            if words:
                self._attempts.annotate({identity.attempt: {"note": f"The pod is waiting to start: {words}"}})
        except (KubeError, StoreUnavailable) as error:
            log.debug("Events of pod %s cannot be read: %s", identity.path, error)


def last_warning(events: Sequence[dict[str, Any]]) -> str:
    """Return the newest warning among a pod's events (oldest first) in one line, "" for none."""
    for event in reversed(events):
        if event.get("type") == "Warning":
            return " ".join(f"{event.get('reason') or 'Warning'}: {event.get('message') or ''}".split())[:500]
    return ""
