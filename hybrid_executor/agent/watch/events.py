"""The events of one watch: read by a thread of its own, duplicates dropped, the rest diagnosed and recorded in batches.

Promises: an event that says nothing new costs little; the version to resume from covers only events that are recorded.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.agent.identity import PodIdentity
from hybrid_executor.agent.ownership import Ownership
from hybrid_executor.agent.removal import PodRemover
from hybrid_executor.agent.watch.decision import Sighting, sight_safely, wants_events
from hybrid_executor.agent.watch.patience import PullPatience
from hybrid_executor.agent.watch.recording import PodRecorder
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError, StoreUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.diagnosis import Diagnosis
from hybrid_executor.kube.refusal import DEFAULT_PATIENCE_SECONDS
from hybrid_executor.kube.watch import DEFAULT_SILENCE_SECONDS, Event, WatchHandle, watch_once
from hybrid_executor.store import Attempts

log = logging.getLogger(__name__)

_WAITS_LONG_SECONDS = 20.0
_ASK_AGAIN_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 2.0
_MOST_QUESTIONS = 5  # each time: a thousand waiting pods must not cause a thousand requests
_MOST_WAITING = 20_000


class PodStream:
    """Takes in the events of one watch.

    :param ownership: which pods are ours; None if all are.
    :param place: what is watched, for messages.
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
        """Forget all pods, as in a new watcher."""
        self.memory = PodMemory()
        self._patience.forget_all()
        self._waiting.clear()

    def take_in(self, events: Sequence[dict[str, Any]]) -> str:
        """Record what events say; return the version to resume from, "" if no event had one.

        :raises StoreUnavailable: none of the events counts as taken in.
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
            if self._is_news(seen, before):
                news.append(seen)
            last[seen.identity.uid] = seen
        if news:
            self._recorder.record(news)
        self._remember(last)
        return version

    def _is_news(self, seen: Sighting, before: Sighting | None) -> bool:
        """Return whether a sighting says more than the last one; that a pod is gone counts where its record waits."""
        if before is not None:
            return seen.diagnosis != before.diagnosis or seen.is_gone != before.is_gone
        return self.memory.is_news(seen) or (seen.is_gone and self._recorder.holds(seen))

    def record_due(self) -> None:
        """Record verdicts that waited for their pod's node or for its log.

        :raises StoreUnavailable: Redis unavailable; they go on waiting.
        """
        self._recorder.record_due()

    def ask_for_reasons(self) -> None:
        """Read the cluster's events about pods that have waited long for an unknown reason, a few at a time.

        Also fails pods that have waited too long for a busy registry.

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
        """Write the last warning about a waiting pod into its record's note."""
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


@dataclass(slots=True)
class SeenPod:
    """One pod.

    :ivar diagnosis: the last recorded one.
    :ivar waiting_since: when it was first seen; :ivar asked_at: when its events were last read (monotonic seconds).
    """

    diagnosis: Diagnosis
    waiting_since: float
    asked_at: float = field(default=0.0)


class PodMemory:
    """Pods by uid, so that repeated events cost nothing. Forgetting one is safe: the record refuses a repetition."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPod] = {}

    def find(self, uid: str) -> SeenPod | None:
        """Return what is known of a pod, None for nothing."""
        return self._seen.get(uid)

    def is_news(self, sighting: Sighting) -> bool:
        """Return whether the diagnosis differs from the last recorded one."""
        seen = self._seen.get(sighting.identity.uid)
        return seen is None or seen.diagnosis != sighting.diagnosis

    def remember(self, sighting: Sighting, *, now: float) -> None:
        """Note that a sighting is recorded."""
        seen = self._seen.get(sighting.identity.uid)
        if seen is None:
            self._seen[sighting.identity.uid] = SeenPod(sighting.diagnosis, now)
        else:
            seen.diagnosis = sighting.diagnosis

    def forget(self, uid: str) -> None:
        """Forget a pod that is gone."""
        self._seen.pop(uid, None)

    def keep_only(self, uids: Iterable[str]) -> None:
        """Forget all pods that a list did not show."""
        kept = set(uids)
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in kept}

    def __len__(self) -> int:
        return len(self._seen)


@dataclass(frozen=True)
class WatchEnd:
    """The watch has ended, with ``error`` or None."""

    error: Exception | None


class WatchReader:
    """Reads a watch from ``resource_version`` on, in a thread, until it ends or :meth:`stop`."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str | None,
        selector: str,
        resource_version: str,
        silence_seconds: float = DEFAULT_SILENCE_SECONDS,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = selector
        self._resource_version = resource_version
        self._silence_seconds = silence_seconds
        self._handle = WatchHandle()
        self._events: queue.Queue[Event | WatchEnd] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._read, name=f"watch-{namespace or 'all'}", daemon=True)
        self._thread.start()

    def take(self, *, most: int, wait_seconds: float) -> list[Event | WatchEnd]:
        """Return up to ``most`` events, waiting up to ``wait_seconds`` for the first."""
        try:
            taken = [self._events.get(timeout=wait_seconds)]
        except queue.Empty:
            return []
        while len(taken) < most:
            try:
                taken.append(self._events.get_nowait())
            except queue.Empty:
                break
        return taken

    def stop(self) -> None:
        """End the watch; events that were not taken are dropped."""
        self._handle.stop()
        self._thread.join(2)

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for event in watch_once(
                self._client,
                self._namespace,
                self._selector,
                self._resource_version,
                silence_seconds=self._silence_seconds,
                handle=self._handle,
            ):
                self._put(event)
        except KubeError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  (handed to the thread that reads, which logs it)
            error = failure
        self._put(WatchEnd(error))

    def _put(self, item: Event | WatchEnd) -> None:
        while not self._handle.is_stopped:
            try:
                self._events.put(item, timeout=0.5)
            except queue.Full:
                continue
            return
