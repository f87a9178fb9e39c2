"""Pods that are done with: deleted, or marked, ended and kept. Off the watch, side by side, again until it is done.

Promises: each pod once at a time; a missing right is reported once and then asked about by one call at a time, slowly,
however many pods wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hybrid_executor.agent.backoff import DENIED, RECONNECT, Backoff
from hybrid_executor.agent.complaints import Complaints
from hybrid_executor.agent.delayed_pool import DelayedPool
from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.names import done_patch, ending_patch

log = logging.getLogger(__name__)

Cleanup = Literal["delete", "mark", "end", "leave"]
"""What becomes of a pod: deleted; labelled as done and kept; kept likewise, and what still runs in it is ended; or left
as it is."""

_LOOK_AGAIN_SECONDS = 1.0
_CALL_SECONDS = 45.0


@dataclass(frozen=True)
class Doomed:
    """A pod to be deleted or marked.

    :ivar uid: only this very pod is meant; "" for whatever has the name.
    """

    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass
class _Denial:
    """A right that is missing: nobody asks before ``until``, then one at a time."""

    until: float = 0.0
    times: int = 0


@dataclass
class _Work:
    pod: Doomed
    cleanup: Cleanup
    on_done: Callable[[], None] | None = None
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
        """How many pods are still to be seen to."""
        return len(self._under_way)

    def clean(self, cleanup: Cleanup, pod: Doomed, *, on_done: Callable[[], None] | None = None) -> None:
        """See to a pod; one that is being seen to already is not taken twice.

        :param on_done: called once the API server has agreed, or said that there is no such pod.
        """
        key = (pod.namespace, pod.name, pod.uid)
        with self._lock:
            if cleanup == "leave" or (key in self._under_way and on_done is None):
                return
            self._under_way.add(key)
        work = _Work(pod, cleanup, on_done)
        self._pool.submit(lambda: self._do(work))

    def mark_done(self, pod: Doomed) -> None:
        """Mark a pod as finished, recorded and kept, now.

        :raises KubeError: it was not marked.
        """
        self._client.patch_pod(pod.namespace, pod.name, done_patch())

    def run_soon(self, job: Callable[[], None]) -> None:
        """Run another short call to the API server on the same threads."""
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
        """Return 0 where the call may be made, else the seconds until one may ask again."""
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
            "Pods of namespace %s in cluster %s stay where they are: grant the agent's account the verb %r on pods. %s",
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
        self._complaints.settle(self._subject(right), "The right to %s pods in namespace %s is there again", *right)

    def _finish(self, work: _Work) -> None:
        with self._lock:
            self._under_way.discard((work.pod.namespace, work.pod.name, work.pod.uid))

    def _subject(self, right: tuple[str, str]) -> str:
        return f"{self._cluster}:{right[0]}:{right[1]}"


def _without_name(error: KubeError) -> str:
    return f"HTTP {error.status} {error.reason}".rstrip()
