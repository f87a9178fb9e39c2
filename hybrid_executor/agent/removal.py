"""Removal of finished pods: they are deleted, or marked and kept. It runs in threads, again until it is done.

Promises: there is one removal of a pod at a time. A missing right is reported once. Then one call at a time checks it,
in long intervals, however many pods wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.backoff import DENIED, RECONNECT, Backoff
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import done_patch, ending_patch, is_of_another

log = logging.getLogger(__name__)

Cleanup = Literal["delete", "mark", "end", "leave"]
"""What happens to a pod: ``delete`` it; ``mark`` it as done and keep it; ``end`` it: mark and keep it, and end what
still runs in it; or ``leave`` it as it is."""

_LOOK_AGAIN_SECONDS = 1.0
_CALL_SECONDS = 45.0


@dataclass(frozen=True)
class PodRef:
    """A pod to be deleted or marked.

    :ivar uid: only the pod with this uid is meant; "" for any pod of that name.
    """

    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass
class _Denial:
    """A right that is missing. Nobody asks before ``until`` (monotonic seconds), then one call at a time."""

    until: float = 0.0
    times: int = 0


@dataclass
class _Work:
    pod: PodRef
    cleanup: Cleanup
    on_done: Callable[[], None] | None = None
    instance: str = ""
    failures: int = field(default=0)


class PodRemover:
    """Deletes and marks pods of one cluster."""

    def __init__(
        self,
        client: KubeClient,
        *,
        cluster: str,
        complaints: Complaints,
        threads: int = 4,
        denied: Backoff = DENIED,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._complaints = complaints
        self._denied = denied
        self._pool = DelayedPool(f"remover-{cluster}", threads=threads)
        self._lock = threading.Lock()
        self._under_way: set[tuple[str, str, str]] = set()
        self._denials: dict[tuple[str, str], _Denial] = {}

    @property
    def waiting(self) -> int:
        """How many pods are not removed or marked yet."""
        return len(self._under_way)

    def clean(
        self, cleanup: Cleanup, pod: PodRef, *, on_done: Callable[[], None] | None = None, instance: str = ""
    ) -> None:
        """Delete or mark a pod, unless that is under way already.

        :param instance: look first whether the pod belongs to another installation than this one, and leave such a pod
            alone; "" where that is known.
        :param on_done: called when the API server has accepted it, or said that there is no such pod.
        """
        key = (pod.namespace, pod.name, pod.uid)
        with self._lock:
            if cleanup == "leave" or (key in self._under_way and on_done is None):
                return
            self._under_way.add(key)
        work = _Work(pod, cleanup, on_done, instance)
        self._pool.submit(lambda: self._do(work))

    def mark_done(self, pod: PodRef) -> None:
        """Mark a pod as finished and kept, with one call.

        :raises KubeError: it was not marked.
        """
        self._client.patch_pod(pod.namespace, pod.name, done_patch())

    def run_soon(self, job: Callable[[], None]) -> None:
        """Run another short call to the API server in the same threads."""
        self._pool.submit(job)

    def close(self, *, seconds: float) -> None:
        """Finish what is under way, for at most ``seconds``."""
        self._pool.close(seconds=seconds)

    def _do(self, work: _Work) -> None:
        right = ("delete" if work.cleanup == "delete" else "patch", work.pod.namespace)
        wait_seconds = self._admit(right)
        if wait_seconds > 0:
            self._pool.submit_after(wait_seconds, lambda: self._do(work))
            return
        try:
            self._call(work)
        except KubeError as error:
            self._after_error(work, right, error)
            return
        self._allowed(right)
        if work.on_done is not None:
            work.on_done()
        self._finish(work)

    def _call(self, work: _Work) -> None:
        pod = work.pod
        if work.instance and not self._is_own(pod, work.instance):
            return
        if work.cleanup == "delete":
            if self._client.delete_pod(pod.namespace, pod.name, uid=pod.uid or None):
                log.debug("Deleted pod %s", pod)
            return
        try:
            if work.cleanup == "end":
                self._client.patch_pod(pod.namespace, pod.name, ending_patch())
            else:
                self.mark_done(pod)
        except KubeError as error:
            if error.status != 404:
                raise

    def _is_own(self, pod: PodRef, instance: str) -> bool:
        try:
            found = self._client.get_pod(pod.namespace, pod.name)
        except KubeError as error:
            if error.status != 404:
                raise
            return False
        if is_of_another(found, instance):
            log.warning("Pod %s is not removed: it belongs to another instance than %s", pod, instance)
            return False
        return True

    def _after_error(self, work: _Work, right: tuple[str, str], error: KubeError) -> None:
        work.failures += 1
        if error.status == 403:
            seconds = self._deny(right, error)
        elif error.status == 422 and work.cleanup == "end":
            log.warning("Pod %s is kept, and its containers that still run cannot be ended: %s", work.pod, error)
            work.cleanup = "mark"
            seconds = 0.0
        elif error.status in (400, 422):
            log.warning("Pod %s is left as it is: %s", work.pod, error)
            self._finish(work)
            return
        else:
            self._allowed(right)
            asked_for = getattr(error, "retry_after_seconds", 0.0)
            seconds = max(asked_for, RECONNECT.seconds(work.failures, jitter=random.random()))
        self._pool.submit_after(seconds, lambda: self._do(work))

    def _admit(self, right: tuple[str, str]) -> float:
        """Return 0 if the call may be made, else the seconds to wait before asking again."""
        with self._lock:
            denial = self._denials.get(right)
            if denial is None:
                return 0.0
            now = time.monotonic()
            if now < denial.until:
                return min(denial.until - now, self._denied.most_seconds) + _LOOK_AGAIN_SECONDS * random.random()
            denial.until = now + _CALL_SECONDS
            return 0.0

    def _deny(self, right: tuple[str, str], error: KubeError) -> float:
        verb, namespace = right
        with self._lock:
            denial = self._denials.setdefault(right, _Denial())
            denial.times += 1
            seconds = self._denied.seconds(denial.times, jitter=random.random())
            denial.until = time.monotonic() + seconds
        self._complaints.report(
            self._subject(right),
            "Pods of namespace %s in cluster %s cannot be removed: grant the agent's account the verb %r on pods. %s",
            namespace,
            self._cluster,
            verb,
            _without_name(error),
        )
        return seconds

    def _allowed(self, right: tuple[str, str]) -> None:
        with self._lock:
            if self._denials.pop(right, None) is None:
                return
        self._complaints.settle(self._subject(right), "The agent may %s pods in namespace %s again", *right)

    def _finish(self, work: _Work) -> None:
        with self._lock:
            self._under_way.discard((work.pod.namespace, work.pod.name, work.pod.uid))

    def _subject(self, right: tuple[str, str]) -> str:
        return f"{self._cluster}:{right[0]}:{right[1]}"


def _without_name(error: KubeError) -> str:
    return f"HTTP {error.status} {error.reason}".rstrip()
